"""Segment each example of a task from the others, to measure methods on the task itself."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from universeg_jax.models.similarity import nearest_entries, similarity
from universeg_jax.segment.model_task import BATCH_SIZES
from universeg_jax.segment.preprocess import resize_square

if TYPE_CHECKING:
    from universeg_jax.segment.task import Task

MOST = 16  # examples that are left out, one at a time


def left_out_entries(number: int) -> np.ndarray:
    """Return the indices of at most `MOST` of `number` examples, evenly spaced."""
    return np.unique(np.linspace(0, number - 1, min(number, MOST)).round().astype(int))


class LeaveOneOut:
    """Examples of a task, each segmented from the others by any model of the task.

    Predictions are compared with labels in the square of the model with the largest input. Encodings and prepared
    support sets of the task are reused. Each model runs once for each kind of support.

    Args:
        task: with at least two examples.
        pause: called between computations, such as to let other work come first; each then segments one image. None
            segments many images at once.

    Attributes:
        entries: (M,) indices of the examples that are left out (`left_out_entries`).
    """

    def __init__(self, task: "Task", *, pause: Callable[[], object] | None = None):
        self._task, self._pause = task, pause
        number = len(task.labels)
        self.entries = left_out_entries(number)
        self._known: dict[tuple[int, int | None], np.ndarray] = {}
        largest = max(task.members, key=lambda member: member.model.input_size)
        self._size = largest.model.input_size
        self._regions = [largest.views[entry].frame.region for entry in self.entries]
        maps = np.moveaxis(largest.support.labels[..., 0][:, self.entries], 0, -1)
        self._truth = [_classes_of(one[inside(region)]) for one, region in zip(maps, self._regions, strict=True)]
        shown = largest.support.shown
        # A class that no other example shows cannot be found.
        by_others = shown.sum(axis=1, keepdims=True) - shown > 0
        self._scored = by_others[:, self.entries].T if len(shown) > 1 else np.ones((len(self.entries), 1), bool)

    def probabilities(self, model: int, similar: int | None) -> np.ndarray:
        """Return probabilities (M,size,size,P) of one model.

        Args:
            model: index of the model.
            similar: number of most similar examples to use; None uses all others.
        """
        from universeg_jax.models.protosam.pipeline import ProtoSAM

        member, number = self._task.members[model], len(self._task.labels)
        if similar is not None and isinstance(member.model, ProtoSAM):
            nearest = member.model.config.nearest
            similar = similar if nearest is None or nearest > similar else None  # it chooses among them anyway
        key = model, similar
        if key not in self._known:
            weights = 1 - np.eye(number, dtype=np.float32)[self.entries]
            if similar is not None and similar < number - 1:
                first = self._task.members[0]
                pixels = np.stack([view.pixels for view in first.views])
                alike = np.where(weights > 0, similarity(pixels[self.entries], pixels), -np.inf)
                weights = nearest_entries(alike, first.support.shown, similar).astype(np.float32)
            views, parts = [member.views[entry] for entry in self.entries], []
            at_once = BATCH_SIZES[-1] if self._pause is None else 1
            for start in range(0, len(views), at_once):
                batch = slice(start, start + at_once)
                if self._pause is not None:
                    self._pause()
                parts.append(member.probability(views[batch], member.predictor(), weights[batch]))
            self._known[key] = np.stack([resize_square(one, self._size) for one in np.concatenate(parts)])
        return self._known[key]

    def blended(self, weights: tuple[float, ...], similar: int | None) -> np.ndarray:
        """Return the weighted mean (M,size,size,P) of the probabilities of several models."""
        parts = [w * self.probabilities(model, similar) for model, w in enumerate(weights) if w > 0]
        return np.sum(parts, axis=0)

    def dice(self, probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
        """Return the Dice (M,) of each example, the mean over foreground classes; NaN if no class can be scored.

        Args:
            probabilities: (M,size,size,P).
            threshold: probability that separates foreground and background (`Plan.threshold`).
        """
        found = []
        for one, truth, region, scored in zip(probabilities, self._truth, self._regions, self._scored, strict=True):
            predicted = _classes_of(one[inside(region)], threshold)
            classes = [1] if len(scored) == 1 else [k for k in range(1, len(scored)) if scored[k]]
            found.append(np.mean([_dice(predicted == k, truth == k) for k in classes]) if classes else np.nan)
        return np.array(found)

    def certainty(self, probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
        """Return the certainty (M,) of each example (`forecast.certainty`). `dice` explains the arguments."""
        from universeg_jax.segment.forecast import certainty

        pairs = zip(self._task.shifted(probabilities, threshold), self._regions, strict=True)
        return np.array([certainty(one[inside(region)]) for one, region in pairs])


def inside(region: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Return rows and columns of the part of a square that its image fills."""
    top, left, bottom, right = region
    return slice(top, bottom), slice(left, right)


def _classes_of(maps: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Turn soft maps (H,W,P) into class indices (H,W); the foreground of a binary task is 1."""
    if maps.shape[-1] == 1:
        return (maps[..., 0] > threshold).astype(int)
    best = 1 + maps[..., 1:].argmax(axis=-1)
    foreground = maps[..., 1:].max(axis=-1) * (1 - threshold) > maps[..., 0] * threshold
    return np.where(foreground, best, 0)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice of two masks; 1 for two empty masks."""
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 1.0
