"""Support entries side by side in the channels of one array.

A TPU keeps the channels of a pixel in 128 lanes and pads fewer channels. So two entries of 64 channels need half the
memory as one array of 128 channels. Convolutions keep them apart by kernels of zeros between the entries.
"""

import jax.numpy as jnp
from jax import lax

from universeg_jax import backend
from universeg_jax.shapes import Array, Float, Shaped, Size


def lanes_of(entries: Size, features: int) -> int:
    """Return the number of entries side by side, for S = `entries` of so many features. A symbolic S gives 1."""
    return min(backend.support_lanes(features), entries) if isinstance(entries, int) else 1


def side_by_side(
    entries: Float[Array, "S H W C"], weights: Shaped[Array, " S"], lanes: Size
) -> tuple[Float[Array, "T H W M"], Shaped[Array, "..."]]:
    """Arrange L = `lanes` consecutive entries in the channels of one.

    Entries of zeros and weight zero fill the last group.

    Args:
        entries: features of S entries.
        weights: their weights in a mean.
        lanes: number of entries for each group.

    Returns:
        Features (T,H,W,L·C) of T = ceil(S/L) groups, entry by entry, and the weights (T,L) of their entries. The
        arguments as they are if L is 1.
    """
    if lanes == 1:
        return entries, weights
    missing = -len(entries) % lanes
    entries = jnp.pad(entries, ((0, missing), (0, 0), (0, 0), (0, 0)))
    weights = jnp.pad(weights, (0, missing)).reshape(-1, lanes)
    groups = entries.reshape(-1, lanes, *entries.shape[1:])
    return lax.collapse(jnp.moveaxis(groups, 1, 3), 3, 5), weights


def block_diagonal(kernel: Float[Array, "_h _w C F"], lanes: Size) -> Float[Array, "_h _w _c _f"]:
    """Make the kernel (kh,kw,L·C,L·F) that convolves each of L = `lanes` entries side by side with `kernel`."""
    if lanes == 1:
        return kernel
    height, width, channels, features = kernel.shape
    blocks = kernel[:, :, None, :, None, :] * jnp.eye(lanes, dtype=kernel.dtype)[:, None, :, None]
    return blocks.reshape(height, width, lanes * channels, lanes * features)
