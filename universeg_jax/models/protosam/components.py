"""Connected components of a mask: what there is to ask the decoder for, and how sure of it the prototypes are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from universeg_jax.models.protosam.config import ComponentsConfig, Keep

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


@dataclass(frozen=True, eq=False)
class Component:
    """A connected part of a mask (H,W).

    Attributes:
        size: (H,W).
        region: rows and columns of its bounding box.
        inside: bool, which pixels of the region are its own.
        box: (x0, y0, x1, y1), its outermost pixels.
        centroid: (x, y), the mean of its pixels.
        confidence: sum of the probabilities in it, over the area of the whole mask: its mean probability times its
            share of the mask.
    """

    size: tuple[int, int]
    region: tuple[slice, slice]
    inside: np.ndarray
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    confidence: float

    @property
    def mask(self) -> np.ndarray:
        """(H,W) bool; made when asked for, as a mask of specks has thousands of components."""
        return union([self], self.size)

    @property
    def area(self) -> int:
        return int(self.inside.sum())

    @property
    def box_area(self) -> int:
        x0, y0, x1, y1 = self.box
        return (x1 - x0 + 1) * (y1 - y0 + 1)


def find_components(probability: np.ndarray) -> list[Component]:
    """All components of `probability` (H,W) > 0.5, the most confident first; none for an empty mask."""
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
    """The mask (H,W) of several components."""
    mask = np.zeros(size, bool)
    for component in components:
        mask[component.region] |= component.inside
    return mask


def choose(components: list[Component], config: ComponentsConfig, in_support: int | None) -> list[Component]:
    """Those that are kept.

    Args:
        components: the most confident first.
        in_support: the largest number of components that a mask of the support has; None for any number.
    """
    components = _without_specks(components, config)
    if config.keep is Keep.MOST_CONFIDENT:
        return components[:1]
    if config.keep is Keep.AS_SUPPORT:
        return components[:in_support]
    return components


def count(mask: np.ndarray, config: ComponentsConfig) -> int:
    """Components of a true mask (H,W), bool."""
    return len(_without_specks(find_components(mask.astype(np.float32)), config))


def _without_specks(components: list[Component], config: ComponentsConfig) -> list[Component]:
    largest = max((component.area for component in components), default=0)
    return [component for component in components if component.area >= config.smallest * largest]
