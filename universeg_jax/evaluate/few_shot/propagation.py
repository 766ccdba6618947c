"""Segment slices of a scan that have no mask yet from the nearest slice of the same scan that has one."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.evaluate.few_shot.methods import FewShotMethod, main_body

THRESHOLD = 0.5
"""Probability above which a pixel belongs to a mask that is propagated."""


@dataclass(frozen=True, eq=False)
class Propagation:
    """A method whose main body is continued, slice by slice, into the slices where it found nothing.

    The protocol segments slices that show the organ only, so an empty mask is a known error.

    Args:
        first: segments from the support scan.
        second: segments one slice from its neighbour and the neighbour's mask.
    """

    first: FewShotMethod
    second: FewShotMethod

    @property
    def name(self) -> str:
        return f"{self.first.name}, propagated"

    @property
    def identity(self) -> str:
        return f"{self.first.identity}, propagated by {self.second.identity}"

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice."""
        probability = self.first.segment(support, query)
        masks = np.asarray(main_body(probability > THRESHOLD, query.slices))
        probability = np.asarray(np.where(masks, probability, np.minimum(probability, THRESHOLD)))
        sources = masks.any(axis=(1, 2))
        waiting = [int(index) for index in np.flatnonzero(~sources)]
        while waiting and sources.any():
            index, source = _nearest(waiting, np.flatnonzero(sources), query.slices)
            own = OrganSlices(query.images[[source]], masks[[source]], query.slices[[source]], query.scan)
            unknown = OrganSlices(query.images[[index]], masks[[index]], query.slices[[index]], query.scan)
            probability[index] = self.second.segment(own, unknown)[0]
            masks[index] = _touching(probability[index] > THRESHOLD, masks[source])
            probability[index] = np.where(masks[index], probability[index], np.minimum(probability[index], THRESHOLD))
            sources[index] = masks[index].any()
            waiting.remove(index)
        return probability


def _nearest(waiting: list[int], sources: np.ndarray, slices: np.ndarray) -> tuple[int, int]:
    """Return the waiting slice that is nearest to a source, and that source, as indices."""
    distance = np.abs(slices[waiting][:, None] - slices[sources])
    row, column = np.unravel_index(distance.argmin(), distance.shape)
    return waiting[row], int(sources[column])


def _touching(mask: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    """Keep the component of a mask (H,W) that overlaps most with the mask of its neighbour; none if none overlaps."""
    found, _ = ndimage.label(mask, np.ones((3, 3)))
    overlap = np.bincount(found[neighbour], minlength=2)
    overlap[0] = 0
    kept: np.ndarray = found == overlap.argmax()
    return kept if overlap.any() else np.zeros_like(kept)
