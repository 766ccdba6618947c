"""Two zero-padded 3×3 convolutions in a row as one 5×5 convolution, for images of few channels."""

from collections.abc import Iterator
from functools import reduce

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


def conv_twice_folded(
    images: Float[Array, "N H W C"], first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]
) -> Float[Array, "N h w G"]:
    """Compute `fold(conv_twice(images, first, second))` for even H and W by one 3×3 convolution of `fold(images)`.

    It has 4·F instead of F channels at a quarter of the pixels. A TPU pads channels to multiples of 128 in memory, and
    multiplies by tiles of as many.
    """
    if min(images.shape[1:3]) < 3:
        return fold(conv2d(conv2d(images, first), second))
    result = conv2d(fold(images), fold_kernel(compose(first, second)))
    return _with_ring(result, [fold(jnp.repeat(row, 2, axis)) for axis, _, row in _sides(images, first, second)])


@jax.custom_vjp
def _with_ring(folded: Array, sides: list[Array]) -> Array:
    """Replace the outermost ring of pixels by its four sides, in the order of `_SIDES`; rows have the corners.

    A TPU writes into an array by a pass over all of it, while a selection becomes part of the convolution before. The
    gradient takes the cotangent of a side from the side alone.
    """
    masks = _ring(folded.shape)
    for number in (1, 3, 0, 2):
        folded = jnp.where(masks[number], sides[number], folded)
    return folded


def _with_ring_forward(folded: Array, sides: list[Array]) -> tuple[Array, None]:
    return _with_ring(folded, sides), None


def _with_ring_backward(_: None, cotangent: Array) -> tuple[Array, list[Array]]:
    masks = _ring(cotangent.shape)
    corners = masks[0] | masks[2]
    of_sides = []
    for number, (axis, end) in enumerate(_SIDES):
        own = masks[number] if axis == 1 else masks[number] & ~corners
        start = end % cotangent.shape[axis]
        of_sides.append(lax.slice_in_dim(jnp.where(own, cotangent, 0), start, start + 1, axis=axis))
    return jnp.where(reduce(jnp.logical_or, masks), 0, cotangent), of_sides


_with_ring.defvjp(_with_ring_forward, _with_ring_backward)


def _ring(shape: tuple[Size, ...]) -> list[Array]:
    """Make masks, in shapes that broadcast, of the four sides of the ring in folded arrays of a shape."""
    channel, masks = lax.broadcasted_iota(jnp.int32, (1, 1, 1, shape[3]), 3), []
    for axis, end in _SIDES:
        within = channel // (shape[3] // 2) if axis == 1 else channel // (shape[3] // 4) % 2
        along = [1] * 4
        along[axis] = shape[axis]
        block = lax.broadcasted_iota(jnp.int32, along, axis)
        masks.append((block == end % shape[axis]) & (within == end % 2))
    return masks


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


def split_pixels(folded: Float[Array, "N h w G"]) -> list[Array]:
    """Split folded images into four images (N,h,w,C), one for each pixel of a block, in the order of `fold`.

    Their maximum is `max_pool(unfold(folded))`.
    """
    return jnp.split(folded, 4, axis=3)


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
