"""Convolution with zero padding, its gradients, and the layer `Conv`. Channels come last."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from universeg_jax import backend
from universeg_jax.shapes import Array, Float, check_floating

Padding = tuple[tuple[int, int], tuple[int, int]]


def conv2d(images: Array, kernel: Array, padding: Padding | None = None) -> jax.Array:
    """Convolve images with a kernel, in the sense of deep learning: the kernel is not flipped.

    Reverse-mode differentiation (`jax.grad`, `jax.vjp`) works to any order. Forward mode is not supported.

    Args:
        images: (N,H,W,C), floating-point.
        kernel: (kh,kw,C,F).
        padding: rows of zeros above and below, columns of zeros left and right. None keeps the size of the images.

    Returns:
        (N,h,w,F) in the dtype of the images.

    Raises:
        ValueError: the images are not floating-point numbers.
    """
    check_floating("images", images)
    if padding is None:
        rows, columns = (((size - 1) // 2, size // 2) for size in kernel.shape[:2])
        padding = rows, columns
    return _conv2d(images, kernel.astype(images.dtype), padding)


def _convolution(images: Array, kernel: Array, padding: Padding) -> Array:
    # Not `nnx.Conv`, whose primitive cannot be exported to ONNX under `vmap`.
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv2d(images: Array, kernel: Array, padding: Padding) -> Array:
    return _convolution(images, kernel, padding)


def _forward(images: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return _conv2d(images, kernel, padding), (images, kernel)


def _backward(padding: Padding, operands: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    """Compute the gradients with respect to images and kernel."""
    images, kernel = operands
    if not backend.kernel_gradient_by_products():
        return jax.vjp(partial(_convolution, padding=padding), images, kernel)[1](cotangent)
    sizes = zip(kernel.shape[:2], padding, strict=True)
    back = tuple((size - 1 - before, size - 1 - after) for size, (before, after) in sizes)
    gradient = kernel_gradient(images, cotangent, padding).astype(kernel.dtype)
    return _conv2d(cotangent, kernel[::-1, ::-1].swapaxes(2, 3), back), gradient


_conv2d.defvjp(_forward, _backward)


LINEAR, RECTIFIED = 1.0, 2**0.5
"""Gains of the initial weights of a convolution: without a rectifier after it, and with one (He et al., 2015).

The official code uses the gain of a plain ReLU for its leaky ReLU, because it leaves PyTorch's slope at 0.
"""


def kaiming_normal(rngs: nnx.Rngs, shape: tuple[int, int, int, int], *, gain: float) -> Array:
    """Draw normal weights (kh,kw,C,F) with standard deviation gain / sqrt(kh·kw·C) (He et al., 2015)."""
    fan_in = math.prod(shape[:3])
    return jax.random.normal(rngs.params(), shape, jnp.float32) * (gain / fan_in**0.5)


class Conv(nnx.Module):
    """Convolution with bias: (N,H,W,C) -> (N,H,W,F).

    The initial weights follow the official code: `kaiming_normal` kernel, zero bias.

    Attributes:
        kernel: (kernel_size,kernel_size,C,F).
        bias: (F,).
    """

    def __init__(self, in_features: int, features: int, *, kernel_size: int, gain: float, rngs: nnx.Rngs):
        shape = (kernel_size, kernel_size, in_features, features)
        self.kernel = nnx.Param(kaiming_normal(rngs, shape, gain=gain))
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, images: Float[Array, "N H W C"]) -> Float[Array, "N H W F"]:
        return conv2d(images, self.kernel[...]) + self.bias[...].astype(images.dtype)


def kernel_gradient(
    images: Float[Array, "N H W C"], cotangent: Float[Array, "N h w F"], padding: Padding
) -> Float[Array, "kh kw C F"]:
    """Compute the gradient of a convolution with respect to its kernel, by matrix products.

    XLA writes this gradient as a convolution whose kernel is as large as the image. Inside a loop its CPU backend
    computes that convolution by plain code, which is far slower than these products (jax 0.10).

    Args:
        images: input of the convolution.
        cotangent: cotangent of its result.
        padding: padding of the convolution.

    Returns:
        Gradient in float32.
    """
    height, width, features = cotangent.shape[1:]
    images = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    rows, columns, channels = images.shape[1] - height + 1, images.shape[2] - width + 1, images.shape[3]
    if rows * channels < features:  # few channels: concatenate all inputs of the kernel at a pixel
        met = [images[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
        return _product(jnp.concatenate(met, axis=-1), cotangent).reshape(rows, columns, channels, features)
    # Many channels: concatenate the cotangents of all pixels that one input reaches through a row of the kernel.
    moved = [jnp.pad(cotangent, ((0, 0), (0, 0), (j, columns - 1 - j), (0, 0))) for j in range(columns)]
    moved = jnp.concatenate(moved, axis=-1)
    taps = jnp.stack([_product(images[:, i : i + height], moved) for i in range(rows)])
    return taps.reshape(rows, channels, columns, features).swapaxes(1, 2)


def _product(left: Array, right: Array) -> Array:
    """Multiply (N,H,W,A) and (N,H,W,B) to (A,B), summed over pixels in float32."""
    left, right = left.reshape(-1, left.shape[-1]), right.reshape(-1, right.shape[-1])
    return jnp.matmul(left.T, right, preferred_element_type=jnp.float32)
