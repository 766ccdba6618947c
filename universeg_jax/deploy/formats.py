"""A network as a `jax.export` artifact, which JAX alone runs, or as an ONNX file, which onnxruntime runs.

target          (B,H,W,1)  images, each min-max normalised to [0,1]
    support_images  (S,H,W,1)  the same
    support_labels  (S,H,W,1)  in [0,1]
    support_mask    (S,)       weights of the entries in means over the support: 1 counts, 0 is absent

All are float32. B and S are free, H = W is fixed when exporting. The result is logits (B,H,W,1).
"""

import logging
from functools import partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.extend.core import jaxpr_as_fun

from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.shapes import Array

INPUTS = ("target", "support_images", "support_labels", "support_mask")
OUTPUT = "logits"


def input_shapes(size: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The inputs in the order of INPUTS, with symbolic B and S, for images of `size` pixels a side."""
    batch, support = export.symbolic_shape("B, S")
    shapes = (batch, size, size, 1), (support, size, size, 1), (support, size, size, 1), (support,)
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)


def logits_of(
    model: UniverSeg, target: Array, images: Array, labels: Array, mask: Array, *, chunk: int, targets_at_once: int
) -> Array:
    """The model on these inputs. chunk and targets_at_once may be symbolic sizes; the model's own choices may not."""
    support = images[None], labels[None], mask[None]
    return model(target, *support, chunk=chunk, targets_at_once=targets_at_once)


def check_size(model: UniverSeg, size: int) -> None:
    """Refuse a side length that the network cannot halve as often as it does.

    Raises:
        InputError: naming the nearest that it can.
    """
    divisor = 2 ** (len(model.encoder) - 1)
    if size < divisor or size % divisor:
        nearest = max(divisor, round(size / divisor) * divisor)
        raise InputError(f"size is {size}; height and width must be divisible by {divisor}: {nearest} would do")


PLATFORMS = ("cpu", "cuda", "tpu")


def to_jax(model: UniverSeg, *, size: int) -> bytes:
    """Serialise a network with its weights, for all PLATFORMS; `jax.export.deserialize` reads it.

    Targets are taken one by one, so that memory does not grow with their number. Support entries are too on a CPU,
    whose cache holds one; an accelerator takes them all at once.

    Args:
        size: side in pixels of the images it will take.

    Raises:
        InputError: the network cannot take images of this size.
    """
    check_size(model, size)

    def one_by_one(target: Array, *support: Array, chunk: int) -> Array:
        run = partial(logits_of, chunk=chunk, targets_at_once=1)
        return lax.map(lambda image: run(model, image[None], *support)[0], target)

    def segment(target: Array, *support: Array) -> Array:
        entries = support[0].shape[0]
        on_cpu, on_accelerators = partial(one_by_one, chunk=1), partial(one_by_one, chunk=entries)
        return lax.platform_dependent(target, *support, cpu=on_cpu, default=on_accelerators)

    return bytes(export.export(jax.jit(segment), platforms=PLATFORMS)(*input_shapes(size)).serialize())


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
