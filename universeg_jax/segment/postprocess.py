"""Improve the prediction of a volume: smooth probabilities across slices, and clean the mask of each class."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from universeg_jax.errors import InputError


@dataclass(frozen=True)
class Cleaning:
    """Components to remove from a predicted mask, class by class.

    Attributes:
        largest: keep the largest connected component alone; voxels are connected through faces.
        islands: remove components smaller than this part of the largest one, in [0,1).
    """

    largest: bool = False
    islands: float = 0.0

    def __post_init__(self):
        if not 0 <= self.islands < 1:
            raise InputError(f"islands={self.islands}: pass a part of the largest component, from 0 to below 1")

    def __call__(self, mask: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Clean a mask in place.

        Args:
            mask: (X,Y,Z) class values.
            values: the classes, the background first.

        Returns:
            The mask.
        """
        if not (self.largest or self.islands):
            return mask
        for value in values[1:]:
            boxes = ndimage.find_objects((mask == value).astype(np.uint8))
            if not boxes:
                continue
            part = mask[boxes[0]]  # components lie in the box of the class, which is smaller than the scan
            components, number = ndimage.label(part == value)
            if number < 2:
                continue
            sizes = np.bincount(components.ravel())
            sizes[0] = 0
            keep = sizes >= (sizes.max() if self.largest else self.islands * sizes.max())
            if self.largest:
                keep = np.arange(len(sizes)) == sizes.argmax()
            keep[0] = True
            part[~keep[components]] = values[0]
        return mask


REACH = 3  # standard deviations at which the Gaussian is cut off


def smoothed(slices: Iterable[tuple[int, np.ndarray]], sigma: float) -> Iterator[tuple[int, np.ndarray]]:
    """Smooth across slices: average each slice with its neighbours, by the weights of a Gaussian.

    Missing slices do not count: the weights of the others sum to 1. Few slices are in memory at a time.

    Args:
        slices: numbers of slices, ascending, and their probabilities (H,W,P).
        sigma: standard deviation in slices; 0 changes nothing.

    Yields:
        The same numbers, and smoothed probabilities.
    """
    if sigma == 0:
        yield from slices
        return
    reach = max(1, round(REACH * sigma))
    known: deque[tuple[int, np.ndarray]] = deque()
    waiting: deque[int] = deque()
    for number, probability in slices:
        known.append((number, probability))
        waiting.append(number)
        while waiting[0] + reach <= number:
            yield waiting[0], _mean(known, waiting.popleft(), sigma)
            while known[0][0] < (waiting[0] if waiting else number) - reach:
                known.popleft()
    while waiting:
        yield waiting[0], _mean(known, waiting.popleft(), sigma)


def _mean(known: Iterable[tuple[int, np.ndarray]], centre: int, sigma: float) -> np.ndarray:
    reach = max(1, round(REACH * sigma))
    near = [(np.exp(-0.5 * ((i - centre) / sigma) ** 2), own) for i, own in known if abs(i - centre) <= reach]
    total = sum(weight for weight, _ in near)
    return np.sum([np.float32(weight / total) * own for weight, own in near], axis=0)
