"""Choose the labelled slices: folds of scans with a support scan each, and the slices shown for a query slice.

The rules follow SSL-ALPNet (Ouyang et al., ECCV 2020): folds are runs of consecutive scans, and the scan after a fold
supports it. Organs are divided into parts along the axis.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError
from universeg_jax.shapes import Float, Int
from universeg_jax.util.random import generator

PARTS = 3
"""Number of parts of an organ along the axis (SSL-ALPNet)."""


class ScanFold(NamedTuple):
    """One fold: the support scan and the query scans, by name."""

    support: str
    queries: tuple[str, ...]


def natural_order(names: Sequence[str]) -> list[str]:
    """Sort names so that numbers in them count as numbers: scan_2 comes before scan_10."""
    return sorted(names, key=lambda name: [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in _pieces(name)])


def _pieces(name: str) -> list[str]:
    return [piece for piece in re.split(r"(\d+)", name) if piece]


def make_scan_folds(names: Sequence[str], *, folds: int = 5, seed: int = 0) -> list[ScanFold]:
    """Split scans into folds of consecutive scans, each with a support scan from outside.

    Args:
        names: names of the scans. They are sorted in natural order first.
        folds: number of folds.
        seed: 0 takes the scan that follows a fold as its support, as SSL-ALPNet does; another seed draws it at random
            from the other folds.

    Raises:
        InputError: there are fewer scans than folds, or fewer than two folds.
    """
    ordered = natural_order(names)
    if not 2 <= folds <= len(ordered):
        raise InputError(f"folds={folds}: pass 2 to {len(ordered)} for {len(ordered)} scans; each fold needs a scan")
    ends = [round(i * len(ordered) / folds) for i in range(folds + 1)]
    made = []
    for index, (start, end) in enumerate(itertools.pairwise(ends)):
        others = [*ordered[end:], *ordered[:start]]  # from the scan that follows, in a circle
        place = 0 if seed == 0 else int(generator(seed, "support scan", index).integers(len(others)))
        made.append(ScanFold(others[place], tuple(ordered[start:end])))
    return made


def part_slices(number: int, *, parts: int = PARTS) -> list[int]:
    """Return the support slice in the middle of each part, as indices into the slices that show the organ.

    Part p of n slices takes slice int(n (2 p + 1) / (2 parts)). Fewer slices than parts repeat a slice.
    """
    return [int(number * (2 * part + 1) / (2 * parts)) for part in range(parts)]


def part_of_slices(slices: Int[np.ndarray, " n"], *, parts: int = PARTS) -> Int[np.ndarray, " n"]:
    """Return the part of each slice between the first and the last slice that show the organ.

    Args:
        slices: numbers of the slices, ascending.
        parts: number of parts.
    """
    span = max(1, int(slices[-1] - slices[0]))
    return np.minimum((slices - slices[0]) * parts // span, parts - 1)


def heights(slices: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the height of each slice in the organ, from 0 at the first slice to 1 at the last."""
    return (slices - slices[0]) / max(1, slices[-1] - slices[0])


def nearest_slices(
    support: Int[np.ndarray, " s"], query: Int[np.ndarray, " n"], *, number: int
) -> Int[np.ndarray, "n k"]:
    """Return the support slices nearest in height to each query slice, as indices, the nearest first.

    Args:
        support, query: numbers of the slices that show the organ, ascending.
        number: slices for each query; all of them if there are fewer.
    """
    distance = np.abs(heights(query)[:, None] - heights(support))
    return np.argsort(distance, axis=1, kind="stable")[:, :number]


class SupportChoice(Protocol):
    """A rule that chooses support slices for each query slice.

    Attributes:
        name: name in tables.
    """

    @property
    def name(self) -> str: ...

    def weights(self, support: OrganSlices, query: OrganSlices) -> Float[np.ndarray, "n s"]:
        """Return the weight of each support slice for each query slice; 0 for a slice that is not shown."""
        ...


@dataclass(frozen=True)
class PartOfOrgan:
    """The middle slice of the part of the organ that a query slice lies in (SSL-ALPNet)."""

    parts: int = 3

    @property
    def name(self) -> str:
        return f"slice of its {self.parts} parts"

    def weights(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Give one support slice to each query slice."""
        middle = np.array(part_slices(len(support), parts=self.parts))
        return np.eye(len(support), dtype=np.float32)[middle[part_of_slices(query.slices, parts=self.parts)]]


@dataclass(frozen=True)
class NearestInHeight:
    """The support slices nearest in height within the organ."""

    number: int = 5

    @property
    def name(self) -> str:
        return f"{self.number} nearest slices"

    def weights(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Give up to `number` support slices to each query slice, with equal weights."""
        nearest = nearest_slices(support.slices, query.slices, number=self.number)
        return np.eye(len(support), dtype=np.float32)[nearest].sum(axis=1)


@dataclass(frozen=True)
class AllSlices:
    """All support slices; those nearer in height within the organ have larger weights.

    The weight falls from 2 at the same height to 1 at the other end. ProtoSAM fits its classifier to all of them, and
    compares a query slice with the prototypes of the two slices of largest weight.
    """

    @property
    def name(self) -> str:
        return "all slices"

    def weights(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Give every support slice to each query slice."""
        return 2 - np.abs(heights(query.slices)[:, None] - heights(support.slices))


def support_choice(words: str) -> SupportChoice:
    """Return the choice of a command line: "thirds", "all", or the number of nearest slices.

    Raises:
        InputError: `words` is none of these.
    """
    if words == "thirds":
        return PartOfOrgan()
    if words == "all":
        return AllSlices()
    if not words.isdecimal() or int(words) < 1:
        raise InputError(f"support slices {words}: pass thirds, all, or a number from 1")
    return NearestInHeight(int(words))
