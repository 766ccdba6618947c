"""Methods that segment one organ of a query scan: an in-context model with labelled slices, or the mean of several.

`WholeVolume` smooths their probabilities across slices. `Propagation` segments empty slices from their neighbours.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from scipy import ndimage

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.evaluate.few_shot.support import SupportChoice
from universeg_jax.evaluate.methods import digest
from universeg_jax.models.in_context import InContextModel
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.task import Task
from universeg_jax.shapes import Float, Int


class FewShotMethod(Protocol):
    """A way to segment an organ of a scan from one labelled scan.

    Attributes:
        name: name in tables.
        identity: name, options and a digest of the model; all scores depend on it.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def segment(self, support: OrganSlices, query: OrganSlices) -> Float[np.ndarray, "n H W"]:
        """Return the probability of the organ in each query slice.

        Args:
            support: labelled slices of the support scan that show the organ.
            query: slices to segment. The masks are not used; the slice numbers give the position in the organ.
        """
        ...


@dataclass(frozen=True, eq=False)
class InContextSlices:
    """An in-context model that sees chosen support slices for each query slice.

    Args:
        model: UniverSeg, ProtoSAM or another in-context model.
        label: name of the model in tables.
        choice: rule that chooses the support slices.
        model_digest: digest of the model; None computes it.
    """

    model: InContextModel
    label: str
    choice: SupportChoice
    model_digest: str | None = None
    _last: dict = field(default_factory=dict, init=False, repr=False)  # the last result: a blend needs it again

    @property
    def name(self) -> str:
        return f"{self.label}, {self.choice.name}"

    @cached_property
    def identity(self) -> str:
        return f"{self.name}, model {self.model_digest or digest(self.model)}"

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice."""
        if support.scan is not None and support.scan is query.scan:  # a single slice, whose result is needed once
            return self._segment(support, query)
        pair = (support, query)
        if self._last.get("pair") != pair:
            self._last.update(pair=pair, probability=self._segment(support, query))
        return self._last["probability"]

    def _segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        # Slices are in [0,1] already; scaling each one again would undo the scaling by the whole scan.
        segmenter = Segmenter(self.model, window=(0, 1))
        weights = self.choice.weights(support, query)
        probability = np.zeros(query.images.shape, np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SegmentationWarning)  # the scores measure the quality
            for shown in np.unique(weights > 0, axis=0)[::-1]:  # from the first support slices on
                same = (weights > 0) == shown
                targets, chosen = np.flatnonzero(same.all(axis=1)), np.flatnonzero(shown)
                task = cast(Task, segmenter.fit(list(support.images[chosen]), list(support.masks[chosen])))
                maps = task.predict_proba(list(query.images[targets]), support=weights[np.ix_(targets, chosen)])
                probability[targets] = np.stack(list(maps))
        return probability


@dataclass(frozen=True, eq=False)
class MeanOfMethods:
    """The weighted mean of the probabilities of several methods.

    Raises:
        InputError: there are fewer than two methods, or not one positive weight for each.
    """

    methods: tuple[FewShotMethod, ...]
    weights: tuple[float, ...]

    def __post_init__(self):
        positive = all(0 < weight < np.inf for weight in self.weights)  # False for NaN
        if len(self.methods) < 2 or len(self.weights) != len(self.methods) or not positive:
            raise InputError(f"weights={self.weights}: pass a positive weight for each of two methods or more")

    @property
    def name(self) -> str:
        return "blend of " + " and ".join(method.name for method in self.methods)

    @property
    def identity(self) -> str:
        parts = zip(self.weights, self.methods, strict=True)
        return "blend of " + " and ".join(f"{weight:g} x {method.identity}" for weight, method in parts)

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice."""
        return np.average(
            [method.segment(support, query) for method in self.methods], axis=0, weights=np.array(self.weights)
        )


@dataclass(frozen=True, eq=False)
class WholeVolume:
    """Use the neighbourhood of slices: smooth probabilities across slices, and keep the main body in 3-D.

    Args:
        method: makes the probabilities.
        sigma: deviation of the Gaussian across slices, in slices; 0 for none. Chosen on scans with 7.7 mm slices.
        largest: keep the main connected component of the organ (`main_body`).
        threshold: threshold of the probabilities, for the components.
    """

    method: FewShotMethod
    sigma: float = 1.2
    largest: bool = True
    threshold: float = 0.5

    @property
    def name(self) -> str:
        return f"{self.method.name}, whole volume"

    @property
    def identity(self) -> str:
        return f"{self.method.identity}, sigma {self.sigma:g}, main body {self.largest}"

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice."""
        probability = smooth_across(self.method.segment(support, query), query.slices, sigma=self.sigma)
        if not self.largest:
            return probability
        return np.where(main_body(probability > self.threshold, query.slices), probability, 0)


def smooth_across(
    probability: Float[np.ndarray, "n H W"], slices: Int[np.ndarray, " n"], *, sigma: float
) -> Float[np.ndarray, "n H W"]:
    """Smooth across slices with a Gaussian. The weights depend on the slice numbers, so gaps count.

    `segment.postprocess.smoothed` does this for `predict`, a few slices at a time.

    Args:
        probability: probability of each slice.
        slices: numbers of the slices.
        sigma: deviation, in slices; 0 for none.
    """
    if sigma == 0:
        return probability
    weights = np.exp(-0.5 * ((slices[:, None] - slices) / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("mn,nhw->mhw", weights.astype(np.float32), probability)


def main_body(masks: np.ndarray, slices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Keep one connected component of masks (n,H,W), with diagonal neighbours. Gaps between slices separate bodies.

    It is the component with the largest sum over slices of the square root of its area. This prefers a body through
    many slices to a wider one in few slices, because the organ is in every slice of the protocol.
    """
    places = np.asarray(slices)
    places = places - places[0]
    stack = np.zeros((places[-1] + 1, *masks.shape[1:]), bool)
    stack[places] = masks
    found, number = ndimage.label(stack, np.ones((3, 3, 3)))
    if number > 1:
        areas = np.stack([np.bincount(plane.ravel(), minlength=number + 1) for plane in found])
        stack = found == 1 + np.sqrt(areas[:, 1:]).sum(axis=0).argmax()
    return stack[places]


THRESHOLD = 0.5
"""Probability above which a pixel belongs to a mask that is propagated."""


@dataclass(frozen=True, eq=False)
class Propagation:
    """A method that continues its main body, slice by slice, into slices where it found nothing.

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
