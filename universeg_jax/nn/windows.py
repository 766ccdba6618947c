"""Cut feature maps into square windows and put them together again."""

import jax.numpy as jnp

from universeg_jax.typing import Array, Float, typed


@typed
def windows(images: Float[Array, "N H W C"], size: int, *, fill: Array | float = 0.0) -> Float[Array, "M T C"]:
    """Windows of `size`² pixels as M = N·ceil(H/size)·ceil(W/size) sequences of T = size² tokens, in raster order.

    Args:
        fill: what stands beyond the lower and right border: a number, or one for each channel (C,).
    """
    n, height, width, channels = images.shape
    below, right = -height % size, -width % size
    if below or right:
        fill = jnp.broadcast_to(jnp.asarray(fill, images.dtype), (channels,))
        images = jnp.concatenate([images, jnp.broadcast_to(fill, (n, below, width, channels))], axis=1)
        images = jnp.concatenate([images, jnp.broadcast_to(fill, (n, height + below, right, channels))], axis=2)
    rows, columns = (height + below) // size, (width + right) // size
    parts = images.reshape(n, rows, size, columns, size, channels).swapaxes(2, 3)
    return parts.reshape(n * rows * columns, size * size, channels)


@typed
def from_windows(parts: Float[Array, "M T C"], size: int, *, height: int, width: int) -> Float[Array, "N H W C"]:
    """The inverse of `windows`: what stood beyond the border is cut off."""
    channels = parts.shape[-1]
    rows, columns = -(-height // size), -(-width // size)
    images = parts.reshape(-1, rows, columns, size, size, channels).swapaxes(2, 3)
    return images.reshape(-1, rows * size, columns * size, channels)[:, :height, :width]
