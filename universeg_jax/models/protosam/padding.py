"""Padding of images that are not square, kept out of masks.

Padding repeats the edge of an image. A speck at the edge would become a band as long as the padding is wide, and
outweigh the structure itself. A region is (top, left, bottom, right) in pixels of the square, the last two excluded.
"""

import numpy as np

from universeg_jax.shapes import Array, Bool, Float, Int

Regions = Int[Array, "B 4"]


def in_padding(regions: Regions, size: tuple[int, int]) -> Bool[Array, "B H W"]:
    """Return masks that are True in the padding."""
    top, left, bottom, right = regions.T[..., None]
    rows, columns = np.arange(size[0]), np.arange(size[1])
    within_rows, within_columns = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
    return ~(within_rows[:, :, None] & within_columns[:, None, :])


def repeat_edges(logits: Float[Array, "K B H W"], regions: Regions) -> Float[Array, "K B H W"]:
    """Replace logits in the padding by those at the edge of the region, as the padding of images is made."""
    height, width = logits.shape[2:]
    repeated = np.empty_like(logits)
    for b, (top, left, bottom, right) in enumerate(regions):
        rows, columns = np.arange(height).clip(top, bottom - 1), np.arange(width).clip(left, right - 1)
        repeated[:, b] = logits[:, b][:, rows[:, None], columns]
    return repeated
