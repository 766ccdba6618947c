"""A network as a `jax.export` artifact, which JAX alone runs."""

from functools import partial

import jax
from jax import export, lax

from universeg_jax.deploy.interface import check_size, input_shapes, logits_of
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.typing import Array

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
