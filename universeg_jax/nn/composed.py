"""Two 3×3 convolutions in a row, without activation between them, as one 5×5 convolution."""

import jax.numpy as jnp

from universeg_jax.nn.conv import conv2d
from universeg_jax.typing import Array, Float, typed

# The side of an image that rot90 brings to the top when it turns by 0, 1, 2, 3 quarters.
_SIDES = (
    (slice(None), slice(None, 1), slice(None)),  # top
    (slice(None), slice(None), slice(-1, None)),  # right
    (slice(None), slice(-1, None), slice(None)),  # bottom
    (slice(None), slice(None), slice(None, 1)),  # left
)


@typed
def compose(first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]) -> Float[Array, "5 5 C F"]:
    """The kernel whose convolution is that of `first` followed by that of `second`, where nothing is padded."""
    taps = jnp.einsum("abcm,ijmf->ijabcf", first, second)  # a 3×3 kernel for each tap (i,j) of the second
    return sum(jnp.pad(taps[i, j], ((i, 2 - i), (j, 2 - j), (0, 0), (0, 0))) for i in range(3) for j in range(3))


@typed
def conv_twice(
    images: Float[Array, "N H W C"], first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]
) -> Float[Array, "N H W F"]:
    """second * (first * images), both zero-padded: cheap where C is much smaller than M.

    The 5×5 kernel is right everywhere but in the outermost ring of pixels. There the second convolution reads
    zeros beyond the border, where the composed one reads what the first would have computed outside the image. So
    each side of the ring is computed in two steps, from the three rows of pixels next to it.
    """
    if min(images.shape[1:3]) < 3:
        return conv2d(conv2d(images, first), second)
    result = conv2d(images, compose(first, second))
    for turn, side in enumerate(_SIDES):
        row = _top_row(*(jnp.rot90(x, turn, axes) for x, axes in ((images, (1, 2)), (first, (0, 1)), (second, (0, 1)))))
        result = result.at[side].set(jnp.rot90(row, -turn, (1, 2)))
    return result


def _top_row(images: Array, first: Array, second: Array) -> Array:
    """The first row of second * (first * images), by the definition."""
    two_rows = conv2d(images[:, :3], first, padding=((1, 0), (1, 1)))
    return conv2d(two_rows, second[1:], padding=((0, 0), (1, 1)))  # second[0] would meet padding only
