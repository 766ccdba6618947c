"""Segment each example of a task from the others, to measure methods on the task itself.

For volumes, segment labelled slices from the slices of other volumes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from universeg_jax.models.in_context import nearest_entries, similarity
from universeg_jax.segment.forecast import Certainty, certainty
from universeg_jax.segment.labels import shift_odds, winners
from universeg_jax.segment.preprocess import resize_square
from universeg_jax.segment.slice_choice import MOST_TESTED, shares, slices_to_test
from universeg_jax.segment.support import BATCH_SIZES
from universeg_jax.shapes import Float

if TYPE_CHECKING:
    from universeg_jax.segment.slice_pool import SlicePool
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
        pause: called before each image, to let other work come first. None segments many images at once.

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
            similar = similar if nearest is None or nearest > similar else None  # ProtoSAM chooses among them anyway
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


class SlicesLeftOut:
    """Labelled slices of a pool, each segmented from the slices of other volumes by any model of the pool.

    At most `MOST_TESTED` slices are left out, about equally many from each volume, evenly spaced along the axis.
    Predictions are compared with labels in the square of the model with the largest input. Dice is measured over all
    slices of a volume together, each with the number of slices that it stands for.

    Args:
        pool: slices of at least two volumes.

    Attributes:
        entries: (M,) indices of the slices that are left out.
        volumes: (M,) number of the volume of each slice, from 0.
    """

    def __init__(self, pool: "SlicePool"):
        self._pool, candidates = pool, pool.candidates
        model = max(pool.models, key=lambda one: one.support.images.shape[1])
        self._size = model.support.images.shape[1]
        # Only slices that all models use are left out: encodings of others would serve nothing else.
        common = [s for s, views in enumerate(pool.views) if all(view is not None for view in views)]
        self.entries, self._weights = _to_test(np.array(common), candidates.subjects, np.any(candidates.shown, axis=0))
        subjects, self.volumes = np.unique(candidates.subjects[self.entries], return_inverse=True)
        places = np.searchsorted(model.entries, self.entries)
        views = [pool.views[entry][pool.models.index(model)] for entry in self.entries]
        self._insides = [inside(view.frame.region) for view in views if view is not None]
        truth = np.moveaxis(model.support.labels[..., 0][:, places], 0, -1)
        self._truth = [winners(one[within]) for one, within in zip(truth, self._insides, strict=True)]
        # A structure that no other volume shows cannot be found.
        others = [candidates.shown[:, candidates.subjects != subject] for subject in subjects]
        self._scored = np.stack([own.any(axis=1) for own in others])
        self._known: dict[int, np.ndarray] = {}

    def probabilities(self, model: int) -> np.ndarray:
        """Return probabilities (M,size,size,P) of one model."""
        if model not in self._known:
            # All models segment a slice in turn, so that those that share an encoder encode it once.
            found: list[list[np.ndarray]] = [[] for _ in self._pool.models]
            hidden = not self._pool.progress
            for entry in tqdm(self.entries, "comparing networks", unit="slice", delay=1, disable=hidden, leave=False):
                position = self._pool.candidates.positions[entry]
                positions = None if np.isnan(position) else np.array([position])
                allowed = self._pool.candidates.subjects != self._pool.candidates.subjects[entry]
                for m, own in enumerate(found):
                    maps = self._pool.of_model(m, [self._pool.views[entry]], positions, allowed=allowed)
                    own.append(resize_square(maps[0], self._size))
            self._known = {m: np.stack(own) for m, own in enumerate(found)}
        return self._known[model]

    def blended(self, weights: tuple[float, ...], similar: int | None = None) -> np.ndarray:
        """Return the weighted mean (M,size,size,P) of the probabilities of several models."""
        return np.sum([w * self.probabilities(model) for model, w in enumerate(weights) if w > 0], axis=0)

    def dice(self, probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
        """Return the Dice of each volume, the mean over structures; NaN if no structure can be scored.

        Few slices of one volume say little about its Dice: a structure may show its end only. So Dice is taken over all
        volumes together, and the value of a volume is its part in it (`pseudo_values`).

        Args:
            probabilities: (M,size,size,P).
            threshold: probability that separates a structure and the background.
        """
        both, area = np.zeros(self._scored.shape), np.zeros(self._scored.shape)
        slices = zip(probabilities, self._truth, self._insides, self.volumes, self._weights, strict=True)
        for one, truth, within, volume, weight in slices:
            predicted = winners(one[within], threshold)
            for k in range(area.shape[1]):
                found, known = predicted == k + 1, truth == k + 1
                both[volume, k] += weight * (found & known).sum()
                area[volume, k] += weight * (found.sum() + known.sum())
        scored = self._scored & (area > 0)
        values = np.zeros(area.shape)
        for k, own in enumerate(scored.T):
            values[own, k] = pseudo_values(2 * both[own, k], area[own, k])
        return np.where(scored.any(axis=1), values.sum(axis=1) / np.maximum(scored.sum(axis=1), 1), np.nan)

    def certainty(self, probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
        """Return the certainty of each volume. `dice` explains the arguments."""
        found = [Certainty() for _ in self._scored]
        for one, within, volume in zip(probabilities, self._insides, self.volumes, strict=True):
            found[volume].add(shift_odds(one[within], threshold))
        return np.array([own.value for own in found])


def pseudo_values(parts: Float[np.ndarray, " V"], wholes: Float[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    """Return the jackknife's pseudo-values of sum(parts) / sum(wholes), one for each volume (Tukey, 1958).

    Their mean estimates the ratio with less bias. They can be treated as independent values, and can leave [0,1].

    Args:
        parts: (V,), one value for each volume.
        wholes: (V,), one positive value for each volume.

    Returns:
        (V,), one value for each volume; the ratio itself if there is one volume.
    """
    number, part, whole = len(parts), parts.sum(), wholes.sum()
    if number < 2:
        return parts / wholes
    return number * part / whole - (number - 1) * (part - parts) / (whole - wholes)


def _to_test(entries: np.ndarray, subjects: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose at most `MOST_TESTED` slices, equally many from each volume.

    Args:
        entries: (N,) slices that every model has prepared.
        subjects: (S,) volume of each slice.
        shown: (S,) True where a slice shows a structure.

    Returns:
        Slices (M,), and the number of slices that each stands for (M,).
    """
    found = np.unique(subjects[entries])
    chosen: dict[int, float] = {}
    for volume, (subject, number) in enumerate(zip(found, shares(len(found), MOST_TESTED), strict=True)):
        own, prepared = np.flatnonzero(subjects == subject), entries[subjects[entries] == subject]
        for index, weight in zip(*slices_to_test(shown[own], min(number, len(prepared)), volume), strict=True):
            nearest = int(prepared[np.abs(prepared - own[index]).argmin()])
            chosen[nearest] = chosen.get(nearest, 0.0) + weight
    return np.array(sorted(chosen)), np.array([chosen[entry] for entry in sorted(chosen)])
