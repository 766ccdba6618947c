"""A network as an ONNX file, which onnxruntime runs."""

import logging
from importlib.metadata import version

import jax
import numpy as np
from jax.extend.core import jaxpr_as_fun

from universeg_jax.deploy.interface import INPUTS, OUTPUT, check_size, input_shapes, logits_of
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.typing import Array

TOLERANCE = 1e-4
"""How far onnxruntime's logits may be from the model's, in units of the largest."""


def to_onnx(model: UniverSeg, *, size: int) -> bytes:
    """Translate a network with its weights, and check with onnxruntime that it computes the same.

    All support entries of all targets are taken at once: jax2onnx 0.17 makes loops that onnxruntime refuses. So
    memory grows with B × S.

    Args:
        size: side in pixels of the images it will take.

    Raises:
        InputError: the network cannot take images of this size, or the translation is wrong.
    """
    import jax2onnx  # here because only this function needs it

    check_size(model, size)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of each of the shapes removed below

    def segment(target: Array, *support: Array) -> Array:
        entries, targets = support[0].shape[0], target.shape[0]
        return logits_of(model, target, *support, chunk=entries, targets_at_once=targets)

    # While jax2onnx traces, jax.numpy promotes otherwise, and it knows jit only as older JAX had it. So it is given
    # what JAX itself has traced, without jit.
    shapes = input_shapes(size)
    with jax.disable_jit():
        traced = jaxpr_as_fun(jax.make_jaxpr(segment)(*shapes))
    proto = jax2onnx.to_onnx(lambda *arrays: traced(*arrays)[0], shapes, input_names=INPUTS, output_names=[OUTPUT])
    # It notes the wrong shapes for some results inside of the network; onnxruntime infers the right ones.
    del proto.graph.value_info[:]
    content = proto.SerializeToString()
    _check(content, model, size)
    return content


def _check(content: bytes, model: UniverSeg, size: int) -> None:
    """Compare with the model on one random episode.

    Raises:
        InputError: they differ.
    """
    import onnxruntime

    rng = np.random.default_rng(0)
    target, images, labels = (rng.random((n, size, size, 1), np.float32) for n in (2, 3, 3))
    mask = np.array([1, 0, 0.5], np.float32)
    with jax.default_matmul_precision("highest"):
        expected = np.asarray(model(target, images[None], labels[None], mask[None]))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, dict(zip(INPUTS, (target, images, labels, mask), strict=True)))
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    if not difference <= TOLERANCE:
        raise InputError(
            f"the ONNX file would give logits that are off by {difference:.1e} of the largest, more than {TOLERANCE}: "
            f"jax2onnx {version('jax2onnx')} and JAX {jax.__version__} do not fit; install others, or pass --format jax"
        )
