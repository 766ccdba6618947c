"""Prediction on several devices: targets split over one axis of a mesh, the support set over another."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from universeg_jax import backend
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.shapes import Array

DATA, SUPPORT = "data", "support"
"""Names of the axes of a mesh."""


def device_mesh(*, data: int, support: int) -> Mesh:
    """Create a mesh of data × support devices.

    Args:
        data: number of parts that targets or episodes are split into.
        support: number of parts that support sets are split into.

    Raises:
        ValueError: the mesh needs more devices than there are.
    """
    if data * support > jax.device_count():
        raise ValueError(
            f"a mesh of {data} x {support} needs {data * support} devices, but there are {jax.device_count()}: "
            "pass smaller numbers"
        )
    devices = jax.devices()[: data * support]
    return jax.make_mesh((data, support), (DATA, SUPPORT), (jax.sharding.AxisType.Auto,) * 2, devices=devices)


def over_devices(model: UniverSeg, mesh: Mesh) -> Callable[..., Array]:
    """Turn a model into a function that computes on all devices of a mesh.

    The function pads targets and support sets to multiples of the numbers of devices, and drops the padding from the
    result. Each device holds its part of the features. The devices of the support axis exchange one mean for each
    block of the network.

    Args:
        model: the network.
        mesh: mesh of `device_mesh`.

    Returns:
        Function of (target, support_images, support_labels, support_mask) with the shapes of `UniverSeg.__call__`.
    """
    shared, own, logits = P(None, SUPPORT), P(DATA, SUPPORT), P(DATA)

    @partial(jax.jit, compiler_options=backend.compiler_options())
    def compiled(model: UniverSeg, target: Array, images: Array, labels: Array, mask: Array) -> Array:
        def on_device(model: UniverSeg, *arrays: Array) -> Array:
            return model(*arrays, support_axis=SUPPORT)

        of_support, of_mask = (own if x.shape[0] > 1 else shared for x in (images, mask))
        specs = (P(), logits, of_support, of_support, of_mask)
        return jax.shard_map(on_device, mesh=mesh, in_specs=specs, out_specs=logits, check_vma=False)(
            model, target, images, labels, mask
        )

    def call(target: Array, images: Array, labels: Array, mask: Array | None = None) -> Array:
        mask = jnp.ones((1, images.shape[1]), bool) if mask is None else jnp.asarray(mask)
        sizes = {0: mesh.shape[DATA], 1: mesh.shape[SUPPORT]}
        padded = [_fill(jnp.asarray(target), {0: sizes[0]})]
        padded += [_fill(jnp.asarray(x), sizes if x.shape[0] > 1 else {1: sizes[1]}) for x in (images, labels, mask)]
        return compiled(model, *padded)[: target.shape[0]]

    return call


def _fill(array: Array, multiples: dict[int, int]) -> Array:
    """Append zeros to the given axes up to a multiple of the given numbers."""
    widths = [(0, -size % multiples.get(axis, 1)) for axis, size in enumerate(array.shape)]
    return jnp.pad(array, widths)
