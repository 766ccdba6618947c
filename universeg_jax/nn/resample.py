"""Pooling and resizing that agree with PyTorch. Channels come last."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from universeg_jax import backend
from universeg_jax.shapes import Array, Float, Shaped


def max_pool(images: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
    """Compute the maximum over 2×2 windows with stride 2. H and W must be even.

    Reshape and max is faster than `reduce_window` on a CPU, and onnxruntime rejects the latter.
    """
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def upsample(images: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
    """Double height and width bilinearly, with corner pixels aligned.

    It equals `torch.nn.UpsamplingBilinear2d(scale_factor=2)`. `jax.image.resize` has no counterpart: its grids align
    the edges of images, not the corner pixels.
    """
    if backend.upsample_by_products():
        rows, columns = (jnp.asarray(_doubling(size), images.dtype) for size in images.shape[1:3])
        exact = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
        return exact("nywc,xw->nyxc", exact("nhwc,yh->nywc", images, rows), columns)
    return _upsample_axis(_upsample_axis(images, axis=1), axis=2)


def _positions(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute for each of 2 · size output pixels the input pixel before it, and the weight of the pixel after that."""
    position = np.arange(2 * size) * ((size - 1) / (2 * size - 1))  # in input pixels
    before = np.minimum(position.astype(int), max(size - 2, 0))
    return before, position - before


def _upsample_axis(images: Array, *, axis: int) -> Array:
    size = images.shape[axis]
    if size == 1:
        return jnp.repeat(images, 2, axis=axis)
    before, weight = _positions(size)
    shape = [1] * images.ndim
    shape[axis] = 2 * size
    after = jnp.asarray(weight.reshape(shape), images.dtype)
    return jnp.take(images, before, axis=axis) * (1 - after) + jnp.take(images, before + 1, axis=axis) * after


def _doubling(size: int) -> np.ndarray:
    """Compute the weights (2 · size, size) of input pixels in output pixels."""
    before, weight = _positions(size)
    matrix, rows = np.zeros((2 * size, size)), np.arange(2 * size)
    np.add.at(matrix, (rows, before), 1 - weight)
    np.add.at(matrix, (rows, np.minimum(before + 1, size - 1)), weight)
    return matrix


def resize_linear(images: Float[Array, "N H W C"], size: tuple[int, int]) -> Float[Array, "N h w C"]:
    """Resize bilinearly with edges aligned, without antialiasing.

    It equals `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
    """
    shape = (images.shape[0], *size, images.shape[3])
    return jax.image.resize(images, shape, "linear", antialias=False)


def resize_nearest(images: Shaped[Array, "N H W C"], size: tuple[int, int]) -> Shaped[Array, "N h w C"]:
    """Resize by copying: pixel i of the result is pixel floor(i · in / out) of the image.

    It equals `torch.nn.functional.interpolate(mode="nearest")`. `jax.image.resize` copies the pixel under the centre
    of the new one instead.
    """
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, images.shape[1:3], strict=True))
    return images[:, rows][:, :, columns]


def resize_cubic(
    images: Float[Array, "N H W C"], size: tuple[int, int], *, scale: tuple[float, float]
) -> Float[Array, "N h w C"]:
    """Resize bicubically with Keys' kernel at a = -0.75, border pixels repeated, without antialiasing.

    It equals `torch.nn.functional.interpolate(mode="bicubic", align_corners=False, scale_factor=scale)`. With
    antialiasing PyTorch uses a = -0.5, as `jax.image.resize(…, "cubic")` does.

    Args:
        images: (N,H,W,C).
        size: height and width of the result.
        scale: factors of height and width from which positions are computed; `size` may differ from them slightly.
    """
    rows, columns = (
        jnp.asarray(_cubic_weights(old, new, factor), images.dtype)
        for old, new, factor in zip(images.shape[1:3], size, scale, strict=True)
    )
    return jnp.einsum("ny,xm,iyxc->inmc", rows, columns.T, images)


def _cubic_weights(old: int, new: int, scale: float, a: float = -0.75) -> np.ndarray:
    """Compute the weights (new,old) of old pixels in new pixels."""
    position = (np.arange(new) + 0.5) / scale - 0.5
    first = np.floor(position).astype(int) - 1
    weights = np.zeros((new, old))
    for tap in range(4):
        distance = np.abs(position - first - tap)
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        pixel = np.clip(first + tap, 0, old - 1)
        np.add.at(weights, (np.arange(new), pixel), np.where(distance <= 1, near, far))
    return weights
