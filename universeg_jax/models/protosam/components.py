"""Connected components of a coarse mask: find them, and choose those to keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from universeg_jax.models.protosam.config import ComponentsConfig, Keep

EIGHT_NEIGHBOURS: np.ndarray = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


@dataclass(frozen=True, eq=False)
class Component:
    """Connected part of a mask (H,W).

    Attributes:
        size: (H,W).
        region: rows and columns of its bounding box.
        inside: bool, its own pixels within the region.
        box: (x0, y0, x1, y1), its outermost pixels.
        centroid: (x, y), the mean of its pixels.
        confidence: sum of the probabilities in it, divided by the area of the whole mask.
    """

    size: tuple[int, int]
    region: tuple[slice, slice]
    inside: np.ndarray
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    confidence: float

    @property
    def mask(self) -> np.ndarray:
        """(H,W) bool. Made on request, since a mask of specks has thousands of components."""
        return union([self], self.size)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.inside.sum())

    @property
    def box_area(self) -> int:
        """Number of pixels of the bounding box."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0 + 1) * (y1 - y0 + 1)


def find_components(probability: np.ndarray) -> list[Component]:
    """Find all components of `probability` (H,W) > 0.5, sorted by confidence, the highest first."""
    mask = probability > 0.5
    numbers, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    area, found = mask.sum(), []
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
        own = numbers[rows, columns] == number
        y, x = np.nonzero(own)
        found.append(
            Component(
                size=mask.shape,
                region=(rows, columns),
                inside=own,
                box=(columns.start, rows.start, columns.stop - 1, rows.stop - 1),
                centroid=(float(x.mean() + columns.start), float(y.mean() + rows.start)),
                confidence=float(probability[rows, columns][own].sum() / area),
            )
        )
    return sorted(found, key=lambda component: -component.confidence)


def union(components: Sequence[Component], size: tuple[int, int]) -> np.ndarray:
    """Return the mask (H,W) of several components."""
    mask: np.ndarray = np.zeros(size, bool)
    for component in components:
        mask[component.region] |= component.inside
    return mask


def choose_components(components: list[Component], config: ComponentsConfig, in_support: int | None) -> list[Component]:
    """Choose the components to keep.

    Args:
        components: sorted by confidence, the highest first.
        config: the rule.
        in_support: largest number of components in one mask of the support; None if any number is plausible.
    """
    components = _without_specks(components, config)
    if config.keep is Keep.MOST_CONFIDENT:
        return components[:1]
    if config.keep is Keep.AS_SUPPORT:
        return components[:in_support]
    return components


def count(mask: np.ndarray, config: ComponentsConfig) -> int:
    """Count the components of a true mask (H,W), bool."""
    return len(_without_specks(find_components(mask.astype(np.float32)), config))


def _without_specks(components: list[Component], config: ComponentsConfig) -> list[Component]:
    largest = max((component.area for component in components), default=0)
    return [component for component in components if component.area >= config.smallest * largest]
