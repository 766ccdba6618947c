"""Layers of the image encoders: linear, layer norm, patch convolutions, and convolutions with a frozen batch norm.

All compute in the dtype of their input. Flax's own layers would promote bfloat16 inputs to their float32 parameters.

A frozen batch norm is folded into the kernel K of the convolution before it:

    scale (K * x - mean) / sqrt(variance + ε) + bias = (K g) * x + (bias - mean g),   g = scale / sqrt(variance + ε)

Training does not update the statistics.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike

from universeg_jax.shapes import Array, Float


class Buffer(nnx.Variable):
    """Stored variable that is not trained, such as the statistics of a batch norm."""


def gelu(features: Array) -> Array:
    """Compute x Φ(x) by the error function, as `torch.nn.GELU()`.

    `jax.nn.gelu(approximate=False)` uses erfc, which costs twice the arithmetic on a CPU.
    """
    return 0.5 * features * (1 + lax.erf(features * 0.5**0.5))


class Linear(nnx.Linear):
    """Linear layer (…,C) -> (…,F) with kernel (C,F) and bias (F,)."""

    def __call__(self, x: Array) -> Array:
        return x @ self.kernel[...].astype(x.dtype) + self.bias[...].astype(x.dtype)


class LayerNorm(nnx.LayerNorm):
    """Layer norm over the last axis (…,C), in float32 as in PyTorch, with scale and bias (C,)."""

    def __init__(self, features: int, *, epsilon: float, rngs: nnx.Rngs):
        super().__init__(features, epsilon=epsilon, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return super().__call__(x).astype(x.dtype)


class PatchConv(nnx.Module):
    """Linear map of each patch of `size`² pixels to one vector: (N,H,W,C) -> (N,H/size,W/size,F).

    Attributes:
        kernel: (size,size,C,F).
        bias: (F,).
        size: side of a patch in pixels.
    """

    def __init__(self, in_features: int, features: int, *, size: int, rngs: nnx.Rngs):
        kernel = jax.random.normal(rngs.params(), (size, size, in_features, features))
        self.kernel = nnx.Param(kernel / (size * in_features**0.5))
        self.bias = nnx.Param(jnp.zeros(features))
        self.size = size

    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N h w F"]:
        """Compute one vector for each patch. H and W must be divisible by the patch size."""
        n, height, width, channels = images.shape
        rows, columns = height // self.size, width // self.size
        patches = images.reshape(n, rows, self.size, columns, self.size, channels).swapaxes(2, 3)
        kernel = self.kernel[...].astype(images.dtype)
        flat = patches.reshape(n, rows, columns, -1) @ kernel.reshape(-1, kernel.shape[-1])
        return flat + self.bias[...].astype(images.dtype)


class PatchUpscale(nnx.Module):
    """Transposed convolution from one vector to a patch of 2×2: (…,C) -> (…,2,2,F).

    The patches keep their own axes (row, column) until `interleave` moves the pixels to their places. The layers
    between act on each pixel alone, and moving the few channels at the end is cheaper.

    Attributes:
        kernel: (C,2,2,F).
        bias: (F,).
    """

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        kernel = jax.random.normal(rngs.params(), (in_features, 2, 2, features))
        self.kernel = nnx.Param(kernel / in_features**0.5)
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, features: Array) -> Array:
        kernel = self.kernel[...].astype(features.dtype)
        patches = features @ kernel.reshape(kernel.shape[0], -1)
        return patches.reshape(*features.shape[:-1], *kernel.shape[1:]) + self.bias[...].astype(features.dtype)


def interleave(patches: Float[Array, "N h w 2 2 2 2 F"]) -> Float[Array, "N H W F"]:
    """Move the pixels of patches within patches, axes (row, column) twice, to their places: H = 4h, W = 4w."""
    n, height, width, *_, features = patches.shape
    return patches.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(n, 4 * height, 4 * width, features)


EPSILON = 1e-5
"""Number added to the variance of a batch norm, PyTorch's default."""


class NormedConv(nnx.Module):
    """Convolution without bias, then a frozen batch norm: (N,H,W,C) -> (N,H/stride,W/stride,F).

    Attributes:
        kernel: (k,k,C,F), k odd; the input is padded with k // 2 zeros.
        scale, bias: (F,), scale and bias of the batch norm.
        mean, variance: (F,) stored statistics.
        stride: step in pixels.
    """

    def __init__(self, in_features: int, features: int, *, kernel_size: int = 1, stride: int = 1, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_kernel((kernel_size, kernel_size, in_features, features), rngs))
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.variance = Buffer(jnp.zeros(features)), Buffer(jnp.ones(features))
        self.stride = stride

    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N h w F"]:
        kernel, bias = _folded(self, images.dtype)
        if kernel.shape[0] == 1 and self.stride == 1:
            return images @ kernel[0, 0] + bias
        padding = [(kernel.shape[0] // 2,) * 2] * 2
        strides = (self.stride, self.stride)
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=layout) + bias


class NormedDepthwiseConv(nnx.Module):
    """Depthwise 3×3 convolution, then a frozen batch norm: (N,H,W,C) -> (N,H/stride,W/stride,C).

    It is written as nine shifted products, because XLA's grouped convolution is slow on a CPU.

    Attributes:
        kernel: (3,3,1,C).
        scale, bias: (C,), scale and bias of the batch norm.
        mean, variance: (C,) stored statistics.
        stride: step in pixels.
    """

    def __init__(self, features: int, *, stride: int = 1, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_kernel((3, 3, 1, features), rngs))
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.variance = Buffer(jnp.zeros(features)), Buffer(jnp.ones(features))
        self.stride = stride

    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
        kernel, bias = _folded(self, images.dtype)
        height, width = images.shape[1:3]
        padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        result = bias
        for i in range(3):
            for j in range(3):
                shifted = padded[:, i : i + height : self.stride, j : j + width : self.stride]
                result = result + shifted * kernel[i, j, 0]
        return result


def _folded(conv: NormedConv | NormedDepthwiseConv, dtype: DTypeLike) -> tuple[Array, Array]:
    """Fold the batch norm into a kernel and a bias."""
    gain = conv.scale[...] * lax.rsqrt(conv.variance[...] + EPSILON)
    return (conv.kernel[...] * gain).astype(dtype), (conv.bias[...] - conv.mean[...] * gain).astype(dtype)


def _kernel(shape: Sequence[int], rngs: nnx.Rngs) -> Array:
    """Draw a kernel (kh,kw,C,F) for a rectifier after it (He et al., 2015)."""
    fan_in = shape[0] * shape[1] * shape[2]
    return jax.random.normal(rngs.params(), shape) * (2 / fan_in) ** 0.5
