"""Where each pixel of an augmented image comes from, and the one interpolation that fetches it.

Coordinates are (2,H,W): for every pixel of the result its row and column in the original, in pixels, not whole ones.
Operations on coordinates compose, so an image that is flipped, rotated and deformed twice is interpolated once.
"""

import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.typing import ArrayLike

from universeg_jax.typing import Array, Float, typed


def pixel_grid(height: int, width: int) -> Array:
    """The coordinates (2,H,W) of an unchanged image."""
    return jnp.stack(jnp.meshgrid(jnp.arange(height, dtype=float), jnp.arange(width, dtype=float), indexing="ij"))


@typed
def flip(coordinates: Float[Array, "2 H W"], *, vertical: ArrayLike, horizontal: ArrayLike) -> Array:
    """Turn the image upside down, and left to right."""
    _, height, width = coordinates.shape
    rows, columns = coordinates
    return jnp.stack(
        [jnp.where(vertical, height - 1 - rows, rows), jnp.where(horizontal, width - 1 - columns, columns)]
    )


@typed
def affine(
    coordinates: Float[Array, "2 H W"],
    *,
    rotation: ArrayLike = 0.0,
    translation: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
    scale: ArrayLike = 1.0,
) -> Array:
    """Rotate and scale the image about its centre, then shift it.

    Args:
        rotation: degrees, counterclockwise.
        translation: downwards and to the right, in heights and widths of the image.
        scale: above 1 the image grows.
    """
    _, height, width = coordinates.shape
    centre = jnp.array([height - 1, width - 1])[:, None, None] / 2
    shift = jnp.array([translation[0] * height, translation[1] * width])[:, None, None]
    rows, columns = coordinates - centre - shift
    cosine, sine = jnp.cos(jnp.deg2rad(rotation)) / scale, jnp.sin(jnp.deg2rad(rotation)) / scale
    return jnp.stack([cosine * rows + sine * columns, cosine * columns - sine * rows]) + centre


@typed
def elastic(
    coordinates: Float[Array, "2 H W"], noise: Float[Array, "2 H W"], *, alpha: ArrayLike, sigma: ArrayLike
) -> Array:
    """Deform the image smoothly (Simard et al., 2003, with kornia's units).

    Args:
        noise: uniform in [-1,1]; smoothed, it displaces rows and columns.
        alpha: factor of the smoothed noise, in halves of the image's height and width.
        sigma: standard deviation of the Gaussian that smooths the noise, in pixels. Beyond the border there is none.
    """
    _, height, width = coordinates.shape
    smooth = gaussian_matrix(height, sigma) @ noise @ gaussian_matrix(width, sigma)
    return coordinates + alpha * jnp.array([height, width])[:, None, None] / 2 * smooth


def gaussian_matrix(size: int, sigma: ArrayLike) -> Array:
    """The (size,size) matrix that smooths a vector, beyond whose ends is zero, with a Gaussian of `sigma` pixels.

    As matrix products, wide kernels are far faster than as convolutions.
    """
    rows, columns = jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij")
    offsets = jnp.arange(1 - size, size)
    return jnp.exp(-0.5 * ((rows - columns) / sigma) ** 2) / jnp.exp(-0.5 * (offsets / sigma) ** 2).sum()


@typed
def warp(image: Float[Array, "H W C"], coordinates: Float[Array, "2 h w"]) -> Float[Array, "h w C"]:
    """Fetch each pixel of the result from its coordinates, linearly interpolated. Outside the image is zero."""
    channels = [
        map_coordinates(channel, coordinates, order=1, mode="constant") for channel in jnp.moveaxis(image, -1, 0)
    ]
    return jnp.stack(channels, axis=-1)
