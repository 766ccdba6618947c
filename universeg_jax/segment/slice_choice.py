"""Choice of the labelled slices that are shown for the slices of a volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_number

LARGEST_GROUP = 8  # target slices in a batch
WAYS = ("both", "position", "similarity", "random")
PER_LENGTH = 2.0  # correlation that weighs as much as a whole length of the axis, for "both"


@dataclass(frozen=True)
class SliceChoice:
    """Which labelled slices are shown for a target slice.

    Attributes:
        size: slices shown at once.
        by: nearest in relative position along the axis, most similar, both together, or at random.
        share: millimetres of neighbouring target slices that share their labelled slices, which are then encoded once.
        negatives: show slices without any structure too. Without them a structure is found in every slice.
        pool: slices kept of one labelled volume, evenly spread; the rest is not read.
        seed: seed of the random choice.
    """

    size: int = 32
    by: Literal["both", "position", "similarity", "random"] = "both"
    share: float = 8.0
    negatives: bool = True
    pool: int = 64
    seed: int = 0

    def __post_init__(self):
        if self.by not in WAYS:
            raise InputError(f"by={self.by!r}: pass one of {', '.join(WAYS)}")
        for name in ("size", "pool"):
            check_number(name, getattr(self, name), whole=True, least=1)
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
    ) -> np.ndarray:
        """Choose slices for one group of targets, as many of each subject.

        Args:
            candidates: the labelled slices.
            similarity: (S,) of the candidates to the targets, from -1 to 1.
            position: of the targets along the axis, in [0,1]; None where it is unknown, so that similarity decides.
            draw: number of the group, for the random choice.

        Returns:
            Indices of at most `size` candidates, ascending.
        """
        distance = np.abs(candidates.positions - (np.nan if position is None else position))
        distance = np.nan_to_num(distance, nan=0.0)
        if self.by == "random":
            score = np.random.default_rng([self.seed, draw]).random(len(similarity))
        elif self.by == "position":
            score = -distance + 1e-6 * similarity
        elif self.by == "similarity":
            score = similarity
        else:
            score = similarity - PER_LENGTH * distance
        usable = np.ones(len(score), bool) if self.negatives else candidates.shown.any(axis=0)
        order = [i for i in np.argsort(-score, kind="stable") if usable[i]]
        taken: dict[int, int] = {}
        ranks = []
        for i in order:
            subject = int(candidates.subjects[i])
            ranks.append(taken.get(subject, 0))
            taken[subject] = ranks[-1] + 1
        fair = [order[k] for k in np.argsort(ranks, kind="stable")]  # the best of each subject, then the second best
        chosen = fair[: self.size]
        if not self.negatives:  # each structure needs a slice that shows it
            for shows in candidates.shown:
                if shows.any() and not shows[chosen].any():
                    chosen.append(next(i for i in fair if shows[i]))
        return np.sort(np.array(chosen))


@dataclass(frozen=True, eq=False)
class Candidates:
    """The labelled slices that can be shown.

    Attributes:
        positions: (S,) along the axis, in [0,1]; NaN of pictures, whose position is unknown.
        subjects: (S,) number of the subject.
        shown: (P,S), True where a slice shows the structure of a problem.
    """

    positions: np.ndarray
    subjects: np.ndarray
    shown: np.ndarray


def spread(length: int, most: int, needed: Sequence[int] = ()) -> list[int]:
    """Choose at most `most` of the indices 0..length-1 at even distances, and the needed ones."""
    even = np.linspace(0, length - 1, min(length, most)).round().astype(int).tolist()
    return sorted({*even, *needed})
