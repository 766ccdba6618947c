"""Segment labelled slices from the slices of other volumes, to measure methods on a task of volumes itself."""

import numpy as np
from tqdm import tqdm

from universeg_jax.segment.forecast import Certainty
from universeg_jax.segment.labelled_slices import shares
from universeg_jax.segment.labels import shift_odds, winners
from universeg_jax.segment.leave_one_out import MOST, inside
from universeg_jax.segment.preprocess import resize_square
from universeg_jax.segment.slice_choice import spread
from universeg_jax.segment.slice_pool import SlicePool

EMPTY = 0.25  # part of the slices of a volume that may show no structure


class SlicesLeftOut:
    """Labelled slices of a pool, each segmented from the slices of other volumes by any model of the pool.

    At most `MOST` slices are left out, about the same number of each volume. Predictions are compared with labels in
    the square of the model with the largest input. Dice is measured over all slices of a volume together.

    Args:
        pool: slices of at least two volumes.

    Attributes:
        entries: (M,) indices of the slices that are left out.
        volumes: (M,) number of the volume of each slice, from 0.
    """

    def __init__(self, pool: SlicePool):
        self._pool, candidates = pool, pool.candidates
        model = max(pool.models, key=lambda one: one.support.images.shape[1])
        self._size = model.support.images.shape[1]
        # Slices that some model does without are not left out, because their encodings would serve nothing else.
        common = [s for s, views in enumerate(pool.views) if all(view is not None for view in views)]
        self.entries = _spread(np.array(common), candidates.subjects, np.any(candidates.shown, axis=0))
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

        Args:
            probabilities: (M,size,size,P).
            threshold: probability that separates a structure and the background.
        """
        both, area = np.zeros(self._scored.shape), np.zeros(self._scored.shape)
        for one, truth, within, volume in zip(probabilities, self._truth, self._insides, self.volumes, strict=True):
            predicted = winners(one[within], threshold)
            for k in range(area.shape[1]):
                found, known = predicted == k + 1, truth == k + 1
                both[volume, k] += (found & known).sum()
                area[volume, k] += found.sum() + known.sum()
        scored = self._scored & (area > 0)
        total = np.where(scored, 2 * both / np.maximum(area, 1), 0).sum(axis=1)
        return np.where(scored.any(axis=1), total / np.maximum(scored.sum(axis=1), 1), np.nan)

    def certainty(self, probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
        """Return the certainty of each volume. `dice` explains the arguments."""
        found = [Certainty() for _ in self._scored]
        for one, within, volume in zip(probabilities, self._insides, self.volumes, strict=True):
            found[volume].add(shift_odds(one[within], threshold))
        return np.array([own.value for own in found])


def _spread(entries: np.ndarray, subjects: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Choose at most `MOST` slices, as many of each volume, at even distances; few of them without a structure."""
    chosen: list[int] = []
    found = np.unique(subjects[entries])
    for subject, number in zip(found, shares(len(found), MOST), strict=True):
        own = entries[subjects[entries] == subject]
        full, empty = own[shown[own]], own[~shown[own]]
        few = min(len(empty), int(EMPTY * number)) if len(full) else 0
        for part, size in ((full, number - few), (empty, few)):
            chosen += [int(part[i]) for i in spread(len(part), size)] if size and len(part) else []
    return np.array(sorted(chosen))
