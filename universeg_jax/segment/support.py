"""Support set of a task as arrays, padded to a few sizes, and one model of a segmenter with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.models.in_context import InContextModel, Predictor
from universeg_jax.segment.labels import Classes
from universeg_jax.segment.preprocess import View

# Sizes that a support set is padded to, so that a model compiles for few shapes. Larger sizes are multiples of 64.
SUPPORT_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True, eq=False)
class Support:
    """Labelled examples of a task: S entries and P binary problems.

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
        """Stack prepared images and their label maps (H,W,P), which have the sizes of the original images."""
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

        With several classes an entry counts for the classes it shows, since empty maps would outweigh a rare class.
        In a binary task every entry counts: an empty mask is an example of "nothing to find here".
        """
        return self.shown if len(self.shown) > 1 else np.ones_like(self.shown)

    def take(self, entries: np.ndarray) -> "Support":
        """Return the support set of some entries."""
        return Support(self.images[entries], self.labels[:, entries], self.shown[:, entries])

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw indices of `size` entries at random, without replacement, such that every class is shown.

        Entries are visited in random order. The entry that shows most missing classes is taken first, until no class is
        missing. The remaining places are filled in random order.

        Raises:
            InputError: if this finds no `size` entries that show every class.
        """
        order = rng.permutation(len(self))
        shown = self.shown[:, order]
        missing, taken = shown.any(axis=1), []
        while missing.any():
            taken.append(int(shown[missing].sum(axis=0).argmax()))
            missing &= ~shown[:, taken[-1]]
        if len(taken) > size:
            raise InputError(
                f"support_size={size}: found no {size} entries that show all {len(shown)} classes; "
                f"pass support_size={len(taken)} or more"
            )
        rest = np.setdiff1d(np.arange(len(self)), taken)
        return np.sort(order[[*taken, *rest[: size - len(taken)]]])

    def padded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return images, labels and mask, padded to the next of SUPPORT_SIZES with entries that do not count."""
        size = self.padded_size(len(self))
        return pad(self.images, size, axis=0), pad(self.labels, size, axis=1), pad(self.mask, size, axis=1)

    @staticmethod
    def padded_size(entries: int) -> int:
        """Return the number of entries that a support set is padded to."""
        return next((size for size in SUPPORT_SIZES if size >= entries), -(-entries // 64) * 64)


def pad(array: np.ndarray, size: int, *, axis: int) -> np.ndarray:
    """Append zeros, or False, to an axis up to a size."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - array.shape[axis])
    return np.pad(array, widths)


# Numbers of targets that a model is called with. A batch is padded to the next, so that models compile for few shapes.
BATCH_SIZES = (1, 2, 4, 8, 16)


class ModelTask:
    """One model with a support set of S entries.

    Args:
        model: the model.
        views: support images, prepared for the model.
        support: arrays for the model.
        classes: classes of the task.
        dtype: dtype of the computation.

    Attributes:
        model: the model.
        views: support images, prepared for the model.
        support: arrays for the model.
    """

    def __init__(
        self,
        model: InContextModel,
        views: Sequence[View],
        support: Support,
        classes: Classes,
        dtype: np.dtype,
    ):
        self.model, self.views, self.support = model, views, support
        self._classes, self._dtype = classes, dtype
        self._whole: Predictor | None = None

    def predictor(self, entries: np.ndarray | None = None) -> Predictor:
        """Prepare the predictor of some support entries; None takes all and prepares them once."""
        if entries is None:
            if self._whole is None:
                self._whole = self._prepared(self.support)
            return self._whole
        return self._prepared(self.support.take(entries))

    def probability(self, views: Sequence[View], predictor: Predictor, weights: np.ndarray | None = None) -> np.ndarray:
        """Return probabilities (B,size,size,P) of B targets, at most the largest batch size.

        Args:
            views: targets, prepared for the model.
            predictor: made by `predictor`.
            weights: (B,S) weights of the predictor's support entries for each target; None counts every entry once.
        """
        size = next(size for size in BATCH_SIZES if size >= len(views))
        pixels = pad(np.stack([view.pixels for view in views]), size, axis=0).astype(self._dtype)
        regions = pad(np.stack([view.frame.region for view in views]), size, axis=0)
        if weights is None:
            logits = predictor(pixels, regions)
        else:
            weights = pad(weights, self.support.padded_size(weights.shape[1]), axis=1)
            logits = predictor(pixels, regions, pad(weights, size, axis=0))
        return self._classes.probability(logits)[: len(views)]

    def _prepared(self, support: Support) -> Predictor:
        images, labels, mask = support.padded()
        return self.model.prepare(images.astype(self._dtype), labels, mask)
