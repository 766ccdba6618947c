"""Translation of a network to a `jax.export` file for JAX, or to an ONNX file for onnxruntime.

The exported network has four inputs, all float32:

    target          (B,H,W,1)  images, each min-max normalised to [0,1]
    support_images  (S,H,W,1)  images of the examples, normalised in the same way
    support_labels  (S,H,W,1)  masks of the examples in [0,1]
    support_mask    (S,)       weights of the examples in means over the support, 0 for an absent example

B and S are free; H = W is fixed by the export. The result is logits (B,H,W,1).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.extend.core import jaxpr_as_fun

from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.shapes import Array, Size

LARGEST = 2**14
"""Side of the largest images, in pixels."""

INPUTS = ("target", "support_images", "support_labels", "support_mask")
OUTPUT = "logits"


def input_shapes(size: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Return the shapes of INPUTS, with symbolic B and S, for images of `size` pixels a side."""
    batch, support = export.symbolic_shape("B, S")
    shapes = (batch, size, size, 1), (support, size, size, 1), (support, size, size, 1), (support,)
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)


def logits_of(
    model: UniverSeg, target: Array, images: Array, labels: Array, mask: Array, *, chunk: Size, targets_at_once: Size
) -> Array:
    """Compute the logits of the model for INPUTS.

    chunk and targets_at_once may be symbolic. The defaults of the model need sizes that are numbers.
    """
    support = images[None], labels[None], mask[None]
    return model(target, *support, chunk=chunk, targets_at_once=targets_at_once)


def check_size(model: UniverSeg, size: int) -> None:
    """Raise an InputError for a side length that the network cannot halve as often as it must."""
    divisor = 2 ** (len(model.encoder) - 1)
    if size < divisor or size % divisor:
        nearest = max(divisor, round(size / divisor) * divisor)
        raise InputError(f"size is {size}; height and width must be divisible by {divisor}: pass {nearest}")
    if size > LARGEST:
        raise InputError(f"size is {size}; pass at most {LARGEST}")


PLATFORMS = ("cpu", "cuda", "tpu")
"""Platforms that a `jax.export` file is written for."""


def to_jax(model: UniverSeg, *, size: int) -> bytes:
    """Serialise a network with its weights for all PLATFORMS. `jax.export.deserialize` reads the result.

    Targets are computed one by one, so that memory does not grow with their number. Support entries are computed one
    by one on a CPU, and all at once on an accelerator.

    Args:
        model: the network.
        size: side in pixels of the images that the exported network accepts.

    Raises:
        InputError: the network cannot process images of this size.
    """
    check_size(model, size)

    def one_by_one(target: Array, *support: Array, chunk: Size) -> Array:
        run = partial(logits_of, chunk=chunk, targets_at_once=1)
        return lax.map(lambda image: run(model, image[None], *support)[0], target)

    def segment(target: Array, *support: Array) -> Array:
        entries = support[0].shape[0]
        on_cpu, on_accelerators = partial(one_by_one, chunk=1), partial(one_by_one, chunk=entries)
        return lax.platform_dependent(target, *support, cpu=on_cpu, default=on_accelerators)

    with _without_locations():
        return bytes(export.export(jax.jit(segment), platforms=PLATFORMS)(*input_shapes(size)).serialize())


@contextmanager
def _without_locations() -> Iterator[None]:
    """Keep file names of this machine and line numbers out of translated programs, so that exports are equal."""
    before = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


TOLERANCE = 1e-4
"""Largest accepted difference between the logits of onnxruntime and of the model, relative to the largest logit."""


def to_onnx(model: UniverSeg, *, size: int) -> bytes:
    """Translate a network with its weights to ONNX, and compare its result in onnxruntime.

    All support entries of all targets are computed at once, because onnxruntime refuses the loops of jax2onnx 0.17.
    So memory grows with B × S.

    Args:
        model: the network.
        size: side in pixels of the images that the exported network accepts.

    Raises:
        InputError: the network cannot process images of this size, or the translation is wrong.
    """
    import jax2onnx

    check_size(model, size)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns about each shape removed below

    def segment(target: Array, *support: Array) -> Array:
        entries, targets = support[0].shape[0], target.shape[0]
        return logits_of(model, target, *support, chunk=entries, targets_at_once=targets)

    # jax2onnx changes the promotion of dtypes while it traces, and it does not know the jit of this JAX. So JAX traces
    # the network first, without jit, and jax2onnx translates the result.
    shapes = input_shapes(size)
    with jax.disable_jit():
        traced = jaxpr_as_fun(jax.make_jaxpr(segment)(*shapes))
    proto = jax2onnx.to_onnx(lambda *arrays: traced(*arrays)[0], shapes, input_names=INPUTS, output_names=[OUTPUT])
    # jax2onnx records wrong shapes for some intermediate results. onnxruntime infers the right ones.
    del proto.graph.value_info[:]
    content = proto.SerializeToString()
    _check(content, model, size)
    return content


def _check(content: bytes, model: UniverSeg, size: int) -> None:
    """Raise an InputError if onnxruntime and the model differ on one random episode."""
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
            f"logits of the ONNX file differ by {difference:.1e} of the largest, more than {TOLERANCE}: "
            f"jax2onnx {version('jax2onnx')} does not fit JAX {jax.__version__}; install others, or pass --format jax"
        )
