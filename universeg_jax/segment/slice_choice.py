"""Choice of the labelled slices that are shown for the slices of a volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.shapes import Bool
from universeg_jax.util.checks import check_number

LARGEST_GROUP = 8  # target slices in a batch
WAYS = ("both", "position", "similarity", "random")
PER_LENGTH = 1.0  # for "both": correlation that counts as much as the whole length of the axis


@dataclass(frozen=True)
class SliceChoice:
    """Rule that chooses the labelled slices for a target slice.

    Attributes:
        size: slices shown at once.
        by: nearest in relative position along the axis, most similar, both together, or at random.
        varied: part of the slices that shows each structure in turn, by the nearest slices with it. The other slices
            are the nearest ones of any content.
        share: millimetres of neighbouring target slices that share their labelled slices, which are then encoded once.
        negatives: largest part of slices without a structure among the slices that count for this structure. With 1 all
            count; with 0 a structure is found in every slice.
        pool: slices kept of one labelled volume, evenly spread; the rest is not read.
        seed: seed of the random choice.
    """

    size: int = 32
    by: Literal["both", "position", "similarity", "random"] = "both"
    varied: float = 0.5
    share: float = 8.0
    negatives: float = 1.0
    pool: int = 64
    seed: int = 0

    def __post_init__(self):
        if self.by not in WAYS:
            raise InputError(f"by={self.by!r}: pass one of {', '.join(WAYS)}")
        for name in ("size", "pool"):
            check_number(name, getattr(self, name), whole=True, least=1)
        for name in ("varied", "negatives"):
            check_number(name, getattr(self, name), least=0, most=1)
        check_number("share", self.share, least=0)

    def group(self, spacing: float) -> int:
        """Number of neighbouring target slices, `spacing` millimetres apart, that share their labelled slices."""
        return int(np.clip(self.share / spacing, 1, LARGEST_GROUP))

    def entries(
        self,
        candidates: "Candidates",
        similarity: np.ndarray,
        position: float | None,
        *,
        draw: int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose slices for one group of targets, equally many from each subject.

        Args:
            candidates: the labelled slices.
            similarity: (S,) similarity of the candidates to the targets, from -1 to 1.
            position: position of the targets along the axis, in [0,1]; None if it is unknown, so that similarity
                decides.
            draw: number of the group, for the random choice.

        Returns:
            Indices of at most `size` candidates, ascending, and (P,size), True where one counts for a structure.
        """
        fair = self.order(candidates, similarity, position, draw=draw)
        if not self.negatives:
            fair = [i for i in fair if candidates.shown[:, i].any()]
        varied = round(self.varied * self.size)
        chosen = fair[: self.size - varied]
        ways = [[i for i in fair if shows[i]] for shows in candidates.shown]
        chosen = _in_turn(chosen, ways if varied else [], min(self.size, len(fair)))
        chosen += [i for i in fair if i not in set(chosen)][: self.size - len(chosen)]
        if not self.negatives:  # a structure without any slice would have no support
            missing = [way[0] for way in ways if way and not set(way) & set(chosen)]
            chosen = [*chosen[: max(0, self.size - len(missing))], *missing]
        counts: np.ndarray = np.ones((len(candidates.shown), len(chosen)), bool)
        for own, shows in zip(counts, candidates.shown[:, chosen], strict=True):
            if shows.any() and self.negatives < 1:
                most = int(shows.sum() * self.negatives / (1 - self.negatives))
                own[np.flatnonzero(~shows)[most:]] = False
        order = np.argsort(chosen)
        return np.array(chosen)[order], counts[:, order]

    def order(
        self, candidates: "Candidates", similarity: np.ndarray, position: float | None, *, draw: int = 0
    ) -> list[int]:
        """List all candidates: the nearest of each subject, then the second nearest of each, and so on.

        `entries` explains the arguments.
        """
        return _fair(self._ranked(candidates, similarity, position, draw), candidates.subjects)

    def _ranked(
        self, candidates: "Candidates", similarity: np.ndarray, position: float | None, draw: int
    ) -> np.ndarray:
        """Order the candidates, the nearest first."""
        distance: np.ndarray = np.abs(candidates.positions - (np.nan if position is None else position))
        distance = np.nan_to_num(distance, nan=0.0)
        if self.by == "random":
            score = np.random.default_rng([self.seed, draw]).random(len(similarity))
        elif self.by == "position":
            score = -distance + 1e-6 * similarity
        elif self.by == "similarity":
            score = similarity
        else:
            score = similarity - PER_LENGTH * distance
        return np.argsort(-score, kind="stable")


@dataclass(frozen=True, eq=False)
class Candidates:
    """The labelled slices that can be shown.

    Attributes:
        positions: (S,) positions along the axis, in [0,1]; NaN for pictures, whose position is unknown.
        subjects: (S,) number of the subject.
        shown: (P,S), True where a slice shows the structure of a problem.
    """

    positions: np.ndarray
    subjects: np.ndarray
    shown: np.ndarray

    def take(self, entries: np.ndarray) -> "Candidates":
        """Return some of the candidates."""
        return Candidates(self.positions[entries], self.subjects[entries], self.shown[:, entries])


def _fair(order: np.ndarray, subjects: np.ndarray) -> list[int]:
    """Order the best of each subject first, then the second best, and so on."""
    taken: dict[int, int] = {}
    ranks = []
    for i in order:
        subject = int(subjects[i])
        ranks.append(taken.get(subject, 0))
        taken[subject] = ranks[-1] + 1
    return [int(order[k]) for k in np.argsort(ranks, kind="stable")]


def _in_turn(chosen: list[int], ways: list[list[int]], size: int) -> list[int]:
    """Add the first entry of each list that is not chosen yet, list after list, up to a size."""
    chosen, left = list(chosen), [iter(way) for way in ways]
    while len(chosen) < size and left:
        for way in list(left):
            new = next((i for i in way if i not in chosen), None)
            if new is None:
                left.remove(way)
            elif len(chosen) < size:
                chosen.append(new)
    return chosen


def spread(length: int, most: int, needed: Sequence[int] = ()) -> list[int]:
    """Choose at most `most` of the indices 0..length-1 at even distances, and the needed ones."""
    even = np.linspace(0, length - 1, min(length, most)).round().astype(int).tolist()
    return sorted({*even, *needed})


def shares(volumes: int, most: int) -> np.ndarray:
    """Divide a number of slices among volumes as evenly as possible."""
    return np.bincount(np.arange(most) * volumes // most, minlength=volumes)


MOST_TESTED = 16  # slices of all volumes that leave-one-out tests
EMPTY = 0.25  # part of them that may show no structure
GOLDEN = 0.6180339887  # its multiples, without their whole parts, are far apart


def slices_to_test(shown: Bool[np.ndarray, " n"], number: int, volume: int) -> tuple[list[int], list[float]]:
    """Choose the slices of a volume that leave-one-out tests, at even distances.

    The distances begin at another height in each volume, so that few slices of many volumes cover all heights.

    Args:
        shown: True where a slice shows a structure. A volume without any is not tested.
        number: number of slices to choose.
        volume: number of the volume, from 0.

    Returns:
        Indices of the slices, and the number of slices of the volume that each stands for.
    """
    shift = (0.5 + GOLDEN * volume) % 1
    full, empty = np.flatnonzero(shown), np.flatnonzero(~shown)
    few = min(len(empty), int(EMPTY * number + shift), max(number - 1, 0)) if len(full) else 0
    indices: list[int] = []
    weights: list[float] = []
    for part, size in ((full, min(len(full), number - few)), (empty, min(len(empty), few))):
        places = ((np.arange(size) + shift) / max(size, 1) * len(part)).astype(int)
        indices += part[places].tolist()
        weights += [len(part) / max(size, 1)] * size
    return indices, weights
