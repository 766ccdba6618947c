"""One model over several devices: targets over one axis of a mesh, the support set over another."""

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


def device_mesh(*, data: int, support: int) -> Mesh:
    """A mesh of data × support devices, for targets (or episodes) and entries of the support set.

    Raises:
        ValueError: for more devices than there are.
    """
    if data * support > jax.device_count():
        raise ValueError(f"{data} x {support} devices are asked for, {jax.device_count()} are here")
    devices = jax.devices()[: data * support]
    return jax.make_mesh((data, support), (DATA, SUPPORT), (jax.sharding.AxisType.Auto,) * 2, devices=devices)


def over_devices(model: UniverSeg, mesh: Mesh) -> Callable[..., Array]:
    """The model as a function that computes on all devices of a mesh (`device_mesh`).

    It takes and returns what `UniverSeg.__call__` does, (target, support_images, support_labels, support_mask), of any
    sizes: what does not divide by the number of devices is filled up, with targets that are dropped again and with
    support entries that are absent. Each device holds its share of the features; the devices of the support axis
    exchange one mean for each block of the network.
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
    """Zeros behind the end of each axis, up to a multiple."""
    widths = [(0, -size % multiples.get(axis, 1)) for axis, size in enumerate(array.shape)]
    return jnp.pad(array, widths)
