"""Pooling and upsampling as PyTorch computes them, channels last."""

import jax.numpy as jnp
import numpy as np

from universeg_jax.typing import Array, Float, typed


@typed
def max_pool(images: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
    """Maximum over 2×2 windows, stride 2. H and W must be even.

    Reshape and max rather than `reduce_window`: faster on CPU, and onnxruntime rejects the other.
    """
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


@typed
def upsample(images: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
    """Bilinear ×2 with the corner pixels kept in place, `torch.nn.UpsamplingBilinear2d(scale_factor=2)`.

    `jax.image.resize` has no counterpart: its grids align the outer edges of the images, not the corners.
    """
    return _upsample_axis(_upsample_axis(images, axis=1), axis=2)


def _upsample_axis(images: Array, *, axis: int) -> Array:
    size = images.shape[axis]
    if size == 1:
        return jnp.repeat(images, 2, axis=axis)
    position = np.arange(2 * size) * ((size - 1) / (2 * size - 1))  # of each output pixel, in input pixels
    lower = np.minimum(position.astype(int), size - 2)
    shape = [1] * images.ndim
    shape[axis] = 2 * size
    upper_weight = jnp.asarray((position - lower).reshape(shape), images.dtype)
    return (
        jnp.take(images, lower, axis=axis) * (1 - upper_weight) + jnp.take(images, lower + 1, axis=axis) * upper_weight
    )
