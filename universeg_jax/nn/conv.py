"""Convolution with zero padding, channels last, and its gradients."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from universeg_jax import backend
from universeg_jax.shapes import Array, Float, typed

Padding = tuple[tuple[int, int], tuple[int, int]]


def conv2d(images: Array, kernel: Array, padding: Padding | None = None) -> Array:
    """Correlate images (N,H,W,C) with a kernel (kh,kw,C,F): what deep learning calls a convolution.

    It can be differentiated in reverse (`jax.grad`, `jax.vjp`), any number of times.

    Args:
        padding: zeros above and below, left and right; by default as many as keep the size.
    """
    if padding is None:
        padding = tuple(((size - 1) // 2, size // 2) for size in kernel.shape[:2])
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
    images, kernel = operands
    if not backend.kernel_gradient_by_products():
        return jax.vjp(partial(_convolution, padding=padding), images, kernel)[1](cotangent)
    sizes = zip(kernel.shape[:2], padding, strict=True)
    back = tuple((size - 1 - before, size - 1 - after) for size, (before, after) in sizes)
    gradient = kernel_gradient(images, cotangent, padding).astype(kernel.dtype)
    return _conv2d(cotangent, kernel[::-1, ::-1].swapaxes(2, 3), back), gradient


_conv2d.defvjp(_forward, _backward)


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


def kernel_gradient(
    images: Float[Array, "N H W C"], cotangent: Float[Array, "N h w F"], padding: Padding
) -> Float[Array, "kh kw C F"]:
    """Sum over pixels of what each tap of the kernel meets, times the cotangent of the output there.

    XLA writes it as a convolution whose kernel is as large as the image. Inside of a loop its CPU backend has nothing
    for that but plain code, a hundred times slower than these products (jax 0.10).

    Args:
        images, padding: what was convolved, and the zeros around it.
        cotangent: of the result.
    """
    height, width, features = cotangent.shape[1:]
    images = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    rows, columns, channels = images.shape[1] - height + 1, images.shape[2] - width + 1, images.shape[3]
    if rows * channels < features:  # few channels: side by side all that the kernel meets at a pixel
        met = [images[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
        return _product(jnp.concatenate(met, axis=-1), cotangent).reshape(rows, columns, channels, features)
    # Otherwise side by side the cotangents of all pixels that meet one through a row of the kernel.
    moved = [jnp.pad(cotangent, ((0, 0), (0, 0), (j, columns - 1 - j), (0, 0))) for j in range(columns)]
    moved = jnp.concatenate(moved, axis=-1)
    taps = jnp.stack([_product(images[:, i : i + height], moved) for i in range(rows)])
    return taps.reshape(rows, channels, columns, features).swapaxes(1, 2)


def _product(left: Array, right: Array) -> Array:
    """(N,H,W,A) and (N,H,W,B) -> (A,B), summed over pixels in float32."""
    left, right = left.reshape(-1, left.shape[-1]), right.reshape(-1, right.shape[-1])
    return jnp.matmul(left.T, right, preferred_element_type=jnp.float32)
