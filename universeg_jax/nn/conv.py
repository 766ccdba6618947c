"""Convolution with zero padding, channels last."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from universeg_jax.typing import Array, Float, typed


def conv2d(images: Array, kernel: Array, padding: str | tuple = "SAME") -> Array:
    """Correlate images (N,H,W,C) with a kernel (kh,kw,C,F): what deep learning calls a convolution.

    `lax.conv_general_dilated` rather than `nnx.Conv`, whose primitive cannot be exported to ONNX under `vmap`.
    """
    return lax.conv_general_dilated(
        images, kernel.astype(images.dtype), (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


LINEAR, RECTIFIED = 1.0, 2**0.5
"""Gains of the initial weights, for a convolution without and with a rectifier behind it (He et al., 2015).

The official code's gain for leaky ReLU is that of a plain ReLU: it leaves the slope at PyTorch's default, 0.
"""


def kaiming_normal(rngs: nnx.Rngs, shape: tuple[int, int, int, int], *, gain: float) -> Array:
    """Normal weights (kh,kw,C,F) with standard deviation gain / sqrt(fan-in)."""
    fan_in = math.prod(shape[:3])
    return jax.random.normal(rngs.params(), shape, jnp.float32) * (gain / fan_in**0.5)


class Conv(nnx.Module):
    """A convolution with bias: (N,H,W,C) -> (N,H,W,F).

    Initialised as in the official code: kaiming normal weights, zero bias.
    """

    def __init__(self, in_features: int, features: int, *, kernel_size: int, gain: float, rngs: nnx.Rngs):
        shape = (kernel_size, kernel_size, in_features, features)
        self.kernel = nnx.Param(kaiming_normal(rngs, shape, gain=gain))
        self.bias = nnx.Param(jnp.zeros(features))

    @typed
    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N H W F"]:
        return conv2d(images, self.kernel[...]) + self.bias[...].astype(images.dtype)
