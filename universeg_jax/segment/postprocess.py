"""Clean the mask of a volume: components and islands of each class."""

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
            part = mask[boxes[0]]  # of a whole scan, components are sought in the box of the class alone
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
