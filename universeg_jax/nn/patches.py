"""Convolutions whose stride is their kernel size: each patch by itself, so one matrix product."""

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.typing import Array, Float, typed


class PatchConv(nnx.Module):
    """Patches of `size`² pixels to one vector each: (N,H,W,C) -> (N,H/size,W/size,F).

    Holds kernel (size,size,C,F) and bias (F,).
    """

    def __init__(self, in_features: int, features: int, *, size: int, rngs: nnx.Rngs):
        kernel = jax.random.normal(rngs.params(), (size, size, in_features, features))
        self.kernel = nnx.Param(kernel / (size * in_features**0.5))
        self.bias = nnx.Param(jnp.zeros(features))
        self.size = size

    @typed
    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N h w F"]:
        """H and W must be divisible by the patch size."""
        n, height, width, channels = images.shape
        rows, columns = height // self.size, width // self.size
        patches = images.reshape(n, rows, self.size, columns, self.size, channels).swapaxes(2, 3)
        kernel = self.kernel[...].astype(images.dtype)
        flat = patches.reshape(n, rows, columns, -1) @ kernel.reshape(-1, kernel.shape[-1])
        return flat + self.bias[...].astype(images.dtype)


class PatchUpscale(nnx.Module):
    """One vector to a patch of 2×2, a transposed convolution: (…,C) -> (…,2,2,F).

    The patches keep axes of their own, (row, column), until `interleave` puts the pixels in their places: what
    follows acts on each pixel by itself, and moving few channels at the end is cheaper than moving many now.
    Holds kernel (C,2,2,F) and bias (F,).
    """

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        kernel = jax.random.normal(rngs.params(), (in_features, 2, 2, features))
        self.kernel = nnx.Param(kernel / in_features**0.5)
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, features: Array) -> Array:
        kernel = self.kernel[...].astype(features.dtype)
        patches = features @ kernel.reshape(kernel.shape[0], -1)
        return patches.reshape(*features.shape[:-1], *kernel.shape[1:]) + self.bias[...].astype(features.dtype)


@typed
def interleave(patches: Float[Array, "N h w 2 2 2 2 F"]) -> Float[Array, "N H W F"]:
    """Pixels of patches within patches, (row, column) twice, in their places: H = 4h, W = 4w."""
    n, height, width, *_, features = patches.shape
    return patches.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(n, 4 * height, 4 * width, features)
