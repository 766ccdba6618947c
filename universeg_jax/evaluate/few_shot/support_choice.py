"""Choose the labelled slices that a query slice is segmented from."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.folds import heights, nearest_slices, part_of_slices, part_slices
from universeg_jax.shapes import Float


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
