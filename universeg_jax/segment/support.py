"""The support set as arrays of fixed shapes, and random draws from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.segment.preprocess import View

# Sizes that a support set is padded to, so that a model compiles for few shapes; multiples of 64 beyond.
SUPPORT_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True, eq=False)
class Support:
    """The labelled examples of a task, S entries and P binary problems.

    Attributes:
        images: (S,H,W,C) float32 in [0,1].
        labels: (P,S,H,W,1) float32 in [0,1].
        shown: (P,S), True where an entry shows the class of a problem in at least one pixel.
    """

    images: np.ndarray
    labels: np.ndarray
    shown: np.ndarray

    @classmethod
    def of(cls, views: Sequence[View], maps: Iterable[np.ndarray]) -> "Support":
        """From images as the model sees them and their label maps (H,W,P), still of the images' own sizes."""
        labels, shown = [], []
        for view, own in zip(views, maps, strict=True):
            labels.append(view.frame.into(own))
            shown.append(own.any(axis=(0, 1)))
        images = np.stack([view.pixels for view in views])
        return cls(images, np.moveaxis(np.stack(labels), -1, 0)[..., None], np.stack(shown, axis=1))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def mask(self) -> np.ndarray:
        """(P,S), True where an entry counts for a problem.

        With several classes an entry counts for those it shows: most do not show a rare class, and their empty maps
        would drown it. A binary task keeps its empty masks: they are examples of "nothing to find here".
        """
        return self.shown if len(self.shown) > 1 else np.ones_like(self.shown)

    def take(self, entries: np.ndarray) -> "Support":
        """The support set of these entries alone."""
        return Support(self.images[entries], self.labels[:, entries], self.shown[:, entries])

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Indices of `size` entries at random, without replacement, such that every class is shown.

        First the entry is taken, in random order, that shows most classes, then the one that shows most of the others,
        until all are shown. The rest is filled up in random order.

        Raises:
            InputError: when so no `size` entries are found that show every class.
        """
        order = rng.permutation(len(self))
        shown = self.shown[:, order]
        missing, taken = shown.any(axis=1), []
        while missing.any():
            taken.append(int(shown[missing].sum(axis=0).argmax()))
            missing &= ~shown[:, taken[-1]]
        if len(taken) > size:
            raise InputError(
                f"support_size={size}: found no {size} entries that show every one of the {len(shown)} classes; "
                f"pass support_size={len(taken)} or more"
            )
        rest = np.setdiff1d(np.arange(len(self)), taken)
        return np.sort(order[[*taken, *rest[: size - len(taken)]]])

    def padded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images, labels and mask, filled up to the next of SUPPORT_SIZES with entries that do not count."""
        size = next((s for s in SUPPORT_SIZES if s >= len(self)), -(-len(self) // 64) * 64)
        return pad(self.images, size, axis=0), pad(self.labels, size, axis=1), pad(self.mask, size, axis=1)


def pad(array: np.ndarray, size: int, *, axis: int) -> np.ndarray:
    """Fill up with zeros, or False, behind the end of an axis."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - array.shape[axis])
    return np.pad(array, widths)
