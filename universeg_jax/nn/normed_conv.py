"""Convolutions followed by a batch norm of fixed statistics, computed as one convolution with bias.

    scale (K * x - mean) / sqrt(variance + ε) + bias = (K g) * x + (bias - mean g),   g = scale / sqrt(variance + ε)

The statistics stay as they were stored: in training, too, these are the networks of inference.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from universeg_jax.nn.buffer import Buffer
from universeg_jax.typing import Array, Float, typed

EPSILON = 1e-5  # PyTorch's default


class NormedConv(nnx.Module):
    """A convolution with odd kernel, zero padding and no bias, then a batch norm: (N,H,W,C) -> (N,H/stride,W/stride,F).

    Holds kernel (k,k,C,F), scale and bias (F,) and the buffers mean and variance (F,).
    """

    def __init__(self, in_features: int, features: int, *, kernel_size: int = 1, stride: int = 1, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_kernel((kernel_size, kernel_size, in_features, features), rngs))
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.variance = Buffer(jnp.zeros(features)), Buffer(jnp.ones(features))
        self.stride = stride

    @typed
    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N h w F"]:
        kernel, bias = _folded(self, images.dtype)
        if kernel.shape[0] == 1 and self.stride == 1:
            return images @ kernel[0, 0] + bias
        padding = [(kernel.shape[0] // 2,) * 2] * 2
        strides = (self.stride, self.stride)
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=layout) + bias


class NormedDepthwiseConv(nnx.Module):
    """The same with one 3×3 kernel for each channel: (N,H,W,C) -> (N,H/stride,W/stride,C).

    Written as nine shifted products, because XLA's grouped convolution is slow on CPU.
    Holds kernel (3,3,1,C), scale, bias, mean and variance (C,).
    """

    def __init__(self, features: int, *, stride: int = 1, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_kernel((3, 3, 1, features), rngs))
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.variance = Buffer(jnp.zeros(features)), Buffer(jnp.ones(features))
        self.stride = stride

    @typed
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


def _folded(conv: NormedConv | NormedDepthwiseConv, dtype: jnp.dtype) -> tuple[Array, Array]:
    gain = conv.scale[...] * lax.rsqrt(conv.variance[...] + EPSILON)
    return (conv.kernel[...] * gain).astype(dtype), (conv.bias[...] - conv.mean[...] * gain).astype(dtype)


def _kernel(shape: Sequence[int], rngs: nnx.Rngs) -> Array:
    fan_in = shape[0] * shape[1] * shape[2]
    return jax.random.normal(rngs.params(), shape) * (2 / fan_in) ** 0.5
