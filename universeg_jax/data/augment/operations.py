"""Transform the geometry and the pixel values of one image or label map (H,W,1) in [0,1].

Coordinates (2,H,W) hold row and column in the original for every pixel of the result, as fractions of pixels.
Operations on coordinates compose, so a flip, a rotation and two deformations need one interpolation.

Definitions and constants follow kornia, the library that the UniverSeg authors trained with.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jax.typing import ArrayLike

from universeg_jax.shapes import Array, Float

Border: TypeAlias = Literal["edge", "reflect"]


def pixel_grid(height: int, width: int) -> Array:
    """Return the coordinates (2,H,W) of an unchanged image."""
    return jnp.stack(jnp.meshgrid(jnp.arange(height, dtype=float), jnp.arange(width, dtype=float), indexing="ij"))


def flip(coordinates: Float[Array, "2 H W"], *, vertical: ArrayLike, horizontal: ArrayLike) -> Array:
    """Mirror the image vertically, horizontally or both."""
    _, height, width = coordinates.shape
    rows, columns = coordinates
    return jnp.stack(
        [jnp.where(vertical, height - 1 - rows, rows), jnp.where(horizontal, width - 1 - columns, columns)]
    )


def affine(
    coordinates: Float[Array, "2 H W"],
    *,
    rotation: ArrayLike = 0.0,
    translation: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
    scale: ArrayLike = 1.0,
    shear: ArrayLike = 0.0,
) -> Array:
    """Shear, rotate and scale the image about its centre, then shift it.

    Args:
        rotation: degrees, counterclockwise.
        translation: downwards and to the right, in heights and widths of the image.
        scale: above 1 the image grows.
        shear: degrees that columns lean to the right.
    """
    _, height, width = coordinates.shape
    centre = jnp.array([height - 1, width - 1])[:, None, None] / 2
    shift = jnp.array([translation[0] * height, translation[1] * width])[:, None, None]
    rows, columns = coordinates - centre - shift
    cosine, sine = jnp.cos(jnp.deg2rad(rotation)) / scale, jnp.sin(jnp.deg2rad(rotation)) / scale
    rows, columns = cosine * rows + sine * columns, cosine * columns - sine * rows
    return jnp.stack([rows, columns + jnp.tan(jnp.deg2rad(shear)) * rows]) + centre


def elastic(
    coordinates: Float[Array, "2 H W"], noise: Float[Array, "2 H W"], *, alpha: ArrayLike, sigma: ArrayLike
) -> Array:
    """Deform the image smoothly (Simard et al., 2003, with kornia's units).

    Args:
        noise: uniform in [-1,1]. After smoothing it displaces rows and columns.
        alpha: factor of the smoothed noise, in halves of the image's height and width.
        sigma: deviation of the Gaussian that smooths the noise, in pixels. Noise is zero beyond the border.
    """
    _, height, width = coordinates.shape
    smooth = gaussian_matrix(height, sigma) @ noise @ gaussian_matrix(width, sigma)
    return coordinates + alpha * jnp.array([height, width])[:, None, None] / 2 * smooth


def gaussian_matrix(size: int, sigma: ArrayLike) -> Array:
    """Return the (size,size) matrix that smooths a vector with a Gaussian of `sigma` pixels. Beyond its ends is zero.

    Wide kernels are far faster as matrix products than as convolutions.
    """
    rows, columns = jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij")
    offsets = jnp.arange(1 - size, size)
    return jnp.exp(-0.5 * ((rows - columns) / sigma) ** 2) / jnp.exp(-0.5 * (offsets / sigma) ** 2).sum()


def warp(image: Float[Array, "H W C"], coordinates: Float[Array, "2 h w"]) -> Float[Array, "h w C"]:
    """Sample the image at coordinates by linear interpolation. Outside the image is zero."""
    channels = [
        map_coordinates(channel, coordinates, order=1, mode="constant") for channel in jnp.moveaxis(image, -1, 0)
    ]
    return jnp.stack(channels, axis=-1)


def adjust_brightness_contrast(
    image: Float[Array, "H W 1"], *, brightness: ArrayLike, contrast: ArrayLike
) -> Float[Array, "H W 1"]:
    """Multiply by `contrast`, then add `brightness`."""
    return jnp.clip(contrast * image + brightness, 0, 1)


def gaussian_blur(image: Float[Array, "H W 1"], *, sigma: ArrayLike) -> Float[Array, "H W 1"]:
    """Smooth with a Gaussian of 5×5 pixels and mirrored borders. `sigma` is in pixels, 0 for none."""
    kernel = jnp.exp(-0.5 * (jnp.arange(-2, 3) / jnp.maximum(sigma, 1e-3)) ** 2)
    kernel /= kernel.sum()
    return _filter(image, kernel, kernel, border="reflect")


def add_gaussian_noise(
    key: Array, image: Float[Array, "H W 1"], *, mean: ArrayLike, std: ArrayLike
) -> Float[Array, "H W 1"]:
    """Add an independent normal draw to each pixel."""
    return jnp.clip(image + mean + std * jax.random.normal(key, image.shape, image.dtype), 0, 1)


def adjust_sharpness(image: Float[Array, "H W 1"], *, factor: ArrayLike) -> Float[Array, "H W 1"]:
    """Mix the image with a smoothed copy: factor 0 is the copy, 1 the image, more sharpens.

    The copy is a mean over 3×3 pixels, with weight 5 in the middle. Pixels at the border stay unchanged.
    """
    smooth = (_filter(image, np.ones(3), np.ones(3), border="edge") + 4 * image) / 13
    inside = jnp.pad(jnp.ones_like(image[1:-1, 1:-1], bool), ((1, 1), (1, 1), (0, 0)))
    return jnp.clip(jnp.where(inside, smooth + factor * (image - smooth), image), 0, 1)


def edges(label: Float[Array, "H W 1"]) -> Float[Array, "H W 1"]:
    """Return the outline of a label map: the magnitude of its Sobel gradient, rescaled to [0,1].

    An empty or full label map has an empty outline.
    """
    slope, mean = np.array([-1, 0, 1]), np.array([1, 2, 1])
    magnitude = jnp.hypot(_filter(label, slope, mean, border="edge"), _filter(label, mean, slope, border="edge"))
    low, high = magnitude.min(), magnitude.max()
    return (magnitude - low) / jnp.maximum(high - low, 1e-6)


def _filter(image: Array, down: Array, right: Array, *, border: Border) -> Array:
    """Correlate the columns of an image with one kernel and its rows with another.

    Matrix products are fast on every kind of device. XLA on CPU would fuse sums of shifted images with the computation
    of the image, and repeat it for each shift. Convolutions of a single channel are slow there.
    """
    matrices = [_matrix(kernel, size, border) for kernel, size in zip((down, right), image.shape, strict=False)]
    filtered = jnp.linalg.multi_dot([matrices[0], image[..., 0], matrices[1].T], precision="highest")
    return filtered[..., None].astype(image.dtype)


def _matrix(kernel: Array, size: int, border: Border) -> Array:
    """Return the (size,size) matrix that correlates a vector, padded as by `numpy.pad`, with a kernel."""
    indices = np.pad(np.arange(size), len(kernel) // 2, mode=border)
    taps = np.eye(size)[np.lib.stride_tricks.sliding_window_view(indices, size)]
    return jnp.tensordot(kernel, taps, axes=1, precision="highest")
