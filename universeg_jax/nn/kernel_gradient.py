"""The gradient of a convolution's kernel as matrix products, which a CPU computes far faster inside of loops."""

import jax.numpy as jnp

from universeg_jax.typing import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]


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
