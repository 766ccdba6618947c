"""Where images lie in the squares that they were padded to: nothing is looked for in the padding.

Padding repeats an image's edges, so a speck there would become a band as long as the padding is wide, and outweigh the
structure itself. A region is (top, left, bottom, right) in pixels of the square, bottom and right excluded.
"""

import numpy as np

from universeg_jax.typing import Array, Bool, Float, Int

Regions = Int[Array, "B 4"]


def outside(regions: Regions, size: tuple[int, int]) -> Bool[Array, "B H W"]:
    """True in the padding."""
    top, left, bottom, right = regions.T[..., None]
    rows, columns = np.arange(size[0]), np.arange(size[1])
    within_rows, within_columns = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
    return ~(within_rows[:, :, None] & within_columns[:, None, :])


def spread(logits: Float[Array, "K B H W"], regions: Regions) -> Float[Array, "K B H W"]:
    """Logits whose padding repeats the edges of what lies in the regions, as that of the images does."""
    height, width = logits.shape[2:]
    spread = np.empty_like(logits)
    for b, (top, left, bottom, right) in enumerate(regions):
        rows, columns = np.arange(height).clip(top, bottom - 1), np.arange(width).clip(left, right - 1)
        spread[:, b] = logits[:, b][:, rows[:, None], columns]
    return spread
