"""From an image of any size to the square a model takes, and back."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Frame:
    """Where an image of height x width lies in a model's square input of size x size.

    Policy: the image is padded to a centred square, which keeps its aspect, with zeros or with copies of its own
    outermost rows and columns ("edge"), and the square is resized bilinearly, with antialiasing when it shrinks. `back`
    undoes both: it resizes to the square and crops. An image that is size x size already passes unchanged, bit by bit.
    The square itself is never made: resizing is a product with one matrix per axis, and padding and cropping are a
    choice of columns and rows. A long, thin image so costs no more memory than itself.
    """

    height: int
    width: int
    size: int
    padding: Literal["zeros", "edge"] = "zeros"

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Where the image lies in the input: top, left, bottom and right, the last two excluded; 1 pixel at least."""
        side = max(self.height, self.width)
        rows, columns = (_centred(length, side) for length in (self.height, self.width))
        starts = [own.start * self.size // side for own in (rows, columns)]
        return (*starts, *(-(-own.stop * self.size // side) for own in (rows, columns)))

    def into(self, image: np.ndarray) -> np.ndarray:
        """(height,width,C) to (size,size,C), float32; for images and, as soft maps, for labels."""
        side = max(self.height, self.width)
        rows, columns = self._weights(self.height, side), self._weights(self.width, side)
        return _resize(image, rows, columns)

    def back(self, maps: np.ndarray) -> np.ndarray:
        """(size,size,C) to (height,width,C), float32, within the range of the input."""
        side = max(self.height, self.width)
        weights = _bilinear(self.size, side)
        rows, columns = weights[_centred(self.height, side)], weights[_centred(self.width, side)]
        return _resize(maps, rows, columns).clip(maps.min(), maps.max())  # the clip is for the last bit only

    def _weights(self, length: int, side: int) -> np.ndarray:
        """(size,length) weights of an axis of the image; those of an edge count for its copies too."""
        weights, own = _bilinear(side, self.size), _centred(length, side)
        kept = weights[:, own]
        if self.padding == "edge":
            kept = kept.copy()
            kept[:, 0] += weights[:, : own.start].sum(axis=1)
            kept[:, -1] += weights[:, own.stop :].sum(axis=1)
        return kept


def _centred(length: int, side: int) -> slice:
    """The pixels that `length` takes in the middle of `side`; an odd remainder goes behind."""
    start = (side - length) // 2
    return slice(start, start + length)


def _bilinear(before: int, after: int) -> np.ndarray:
    """(after,before) weights of Pillow's bilinear filter: a triangle as wide as the larger of the two pixels."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _resize(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.float32), columns, optimize=True)
