"""Two zero-padded 3×3 convolutions in a row as one 5×5 convolution, for images of few channels."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from universeg_jax.nn.conv import conv2d
from universeg_jax.shapes import Array, Float, Size

# Axis and end of the side of an image that `rot90` by 0, 1, 2 and 3 quarters brings to the top.
_SIDES = ((1, 0), (2, -1), (1, -1), (2, 0))


def compose(first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]) -> Float[Array, "5 5 C F"]:
    """Compute the kernel of one convolution that equals `first`, then `second`, both without padding."""
    taps = jnp.einsum("abcm,ijmf->ijabcf", first, second)  # a 3×3 kernel for each tap (i,j) of the second
    return sum(jnp.pad(taps[i, j], ((i, 2 - i), (j, 2 - j), (0, 0), (0, 0))) for i in range(3) for j in range(3))


def conv_twice(
    images: Float[Array, "N H W C"], first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]
) -> Float[Array, "N H W F"]:
    """Compute second * (first * images), both zero-padded, by one 5×5 convolution.

    It is cheap where C is much smaller than M. The composed kernel is wrong in the outermost ring of pixels: it reads
    results of the first convolution outside the image, where the second reads zeros. So each side of the ring is
    computed in two steps, from the three rows of pixels next to it.
    """
    if min(images.shape[1:3]) < 3:
        return conv2d(conv2d(images, first), second)
    result = conv2d(images, compose(first, second))
    for axis, end, row in _sides(images, first, second):
        result = lax.dynamic_update_slice_in_dim(result, row, end % images.shape[axis], axis)
    return result


def conv_twice_pixels(
    images: Float[Array, "N H W C"], first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]
) -> list[Array]:
    """Compute `conv_twice(images, first, second)` for even H and W, one image for each pixel of the 2×2 blocks.

    Each image is one 3×3 convolution of `fold(images)`. A TPU pads channels to multiples of 128 in memory, and
    multiplies by tiles of as many.

    Returns:
        Four images (N,h,w,F) in the order of `fold`. Their maximum is the result after `max_pool`.
    """
    if min(images.shape[1:3]) < 3:
        return jnp.split(fold(conv2d(conv2d(images, first), second)), 4, axis=3)
    folded, kernels = fold(images), jnp.split(fold_kernel(compose(first, second)), 4, axis=3)
    top, right, bottom, left = (side for _, _, side in _sides(images, first, second))
    pixels = []
    for (down, across), kernel in zip(np.ndindex(2, 2), kernels, strict=True):
        row = (top, bottom)[down][:, :, across::2]
        column = (left, right)[across][:, down::2]
        pixels.append(_with_sides((down, across), conv2d(folded, kernel), row, column))
    return pixels


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _with_sides(place: tuple[int, int], images: Array, row: Array, column: Array) -> Array:
    """Replace the first or last row and column of images, for the pixel of a block at `place`; the row has the corner.

    A TPU writes into an array by a pass over all of it, while a selection becomes part of the convolution before. The
    gradient takes the cotangent of a side from the side alone.
    """
    in_row, in_column = _edges(place, images.shape)
    return jnp.where(in_row, row, jnp.where(in_column, column, images))


def _with_sides_forward(place: tuple[int, int], images: Array, row: Array, column: Array) -> tuple[Array, None]:
    return _with_sides(place, images, row, column), None


def _with_sides_backward(place: tuple[int, int], _: None, cotangent: Array) -> tuple[Array, Array, Array]:
    in_row, in_column = _edges(place, cotangent.shape)
    row, column = (-end % side for end, side in zip(place, cotangent.shape[1:3], strict=True))
    of_row = lax.slice_in_dim(cotangent, row, row + 1, axis=1)
    of_column = lax.slice_in_dim(jnp.where(in_row, 0, cotangent), column, column + 1, axis=2)
    return jnp.where(in_row | in_column, 0, cotangent), of_row, of_column


_with_sides.defvjp(_with_sides_forward, _with_sides_backward)


def _edges(place: tuple[int, int], shape: tuple[Size, ...]) -> tuple[Array, Array]:
    """Make masks, in shapes that broadcast, of the first (0) or last (1) row and column of images of a shape."""
    rows, columns = (lax.iota(jnp.int32, side) == -end % side for end, side in zip(place, shape[1:3], strict=True))
    return rows[:, None, None], columns[:, None]


def fold(images: Float[Array, "N H W C"]) -> Float[Array, "N h w G"]:
    """Move each 2×2 block of pixels into the channels, in the order top left, top right, bottom left, bottom right."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, height // 2, width // 2, 4 * channels)


def unfold(folded: Float[Array, "N h w G"]) -> Float[Array, "N H W C"]:
    """Invert `fold`."""
    count, height, width, channels = folded.shape
    blocks = folded.reshape(count, height, width, 2, 2, channels // 4)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, 2 * height, 2 * width, channels // 4)


def fold_kernel(kernel: Float[Array, "5 5 C F"]) -> Float[Array, "3 3 G P"]:
    """Compute the kernel for folded images that equals a 5×5 kernel for the images themselves."""
    channels, features = kernel.shape[2:]
    # Row p of a block reads row q of the block at distance d by the tap 2d + q - p, from -3 to 3; ±3 are zero.
    distance, read, written = np.arange(-1, 2), np.arange(2), np.arange(2)
    taps = 3 + 2 * distance[:, None, None] + read[:, None] - written
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    blocks = padded[taps][:, :, :, taps]  # (d,q,p) of rows, the same of columns, C, F
    return blocks.transpose(0, 3, 1, 4, 6, 2, 5, 7).reshape(3, 3, 4 * channels, 4 * features)


def _sides(images: Array, first: Array, second: Array) -> Iterator[tuple[Size, Size, Array]]:
    """Compute the four sides of the ring: yield the axis across a side, its end (0 or -1), and its row of pixels."""
    for turn, (axis, end) in enumerate(_SIDES):
        turned = (jnp.rot90(x, turn, axes) for x, axes in ((images, (1, 2)), (first, (0, 1)), (second, (0, 1))))
        yield axis, end, jnp.rot90(_top_row(*turned), -turn, (1, 2))


def _top_row(images: Array, first: Array, second: Array) -> Array:
    """Compute the first row of second * (first * images) by the definition."""
    two_rows = conv2d(images[:, :3], first, padding=((1, 0), (1, 1)))
    return conv2d(two_rows, second[1:], padding=((0, 0), (1, 1)))  # second[0] only meets padding
