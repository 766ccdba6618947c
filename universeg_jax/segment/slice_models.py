"""Models with the labelled slices of a task, and the probabilities that each model gives for target slices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.special import expit

from universeg_jax import backend
from universeg_jax.models.in_context import InContextModel, Predictor
from universeg_jax.segment.preprocess import View
from universeg_jax.segment.slice_choice import Candidates, SliceChoice
from universeg_jax.segment.support import SUPPORT_SIZES, Support, pad
from universeg_jax.shapes import Array


@runtime_checkable
class OnDemandModel(InContextModel, Protocol):
    """A model that takes in many entries, and encodes an entry when a target first uses it.

    Attributes:
        encodes_on_demand: True.
    """

    encodes_on_demand: bool

    def forget(self, images: Array) -> None:
        """Free the memory of encoded images (B,H,W,C) that are not needed again."""
        ...


def takes_many(model: InContextModel) -> bool:
    """Return True for a model that takes in many slices at once and uses few of them for each target."""
    return isinstance(model, OnDemandModel)


@dataclass(frozen=True, eq=False)
class Targets:
    """Neighbouring slices to segment.

    Attributes:
        views: B slices, prepared for the model.
        similarities: (B,S) similarity of each labelled slice to each target, from -1 to 1.
        positions: (B,) positions along the axis, in [0,1]; None if they are unknown.
        allowed: (S,) True for labelled slices that may be shown.
        draw: number of the group, for a random choice.
        batch: number of targets to compile for.
    """

    views: Sequence[View]
    similarities: np.ndarray
    positions: np.ndarray | None
    allowed: np.ndarray
    draw: int
    batch: int

    def arrays(self, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Return images (batch,size,size,C) and regions (batch,4)."""
        pixels = pad(np.stack([view.pixels for view in self.views]), self.batch, axis=0).astype(dtype)
        return pixels, pad(np.stack([view.frame.region for view in self.views]), self.batch, axis=0)


class SliceModel:
    """A model with labelled slices.

    Args:
        model: the model.
        support: N labelled slices and P structures.
        entries: (N,) their indices among all labelled slices.
        candidates: all labelled slices.
        dtype: dtype of the computation.
    """

    def __init__(
        self, model: InContextModel, support: Support, entries: np.ndarray, candidates: Candidates, dtype: np.dtype
    ):
        self.model, self.support, self.entries, self._dtype = model, support, entries, dtype
        self._candidates = candidates.take(entries)

    def probabilities(self, targets: Targets, choice: SliceChoice) -> np.ndarray:
        """Return probabilities (B,size,size,P)."""
        raise NotImplementedError

    def forget(self, views: Sequence[View]) -> None:
        """Free the memory of targets that are not needed again."""


class ShownSlices(SliceModel):
    """A model that is shown a choice of the labelled slices. Neighbouring targets share it."""

    def probabilities(self, targets: Targets, choice: SliceChoice) -> np.ndarray:
        """Return probabilities (B,size,size,P)."""
        allowed = np.flatnonzero(targets.allowed[self.entries])
        position = None if targets.positions is None else float(targets.positions.mean())
        similarities = targets.similarities[:, self.entries[allowed]].mean(axis=0)
        chosen, counts = choice.entries(self._candidates.take(allowed), similarities, position, draw=targets.draw)
        support = self.support.take(allowed[chosen])
        size = next((size for size in SUPPORT_SIZES if size >= len(support)), len(support))
        images = pad(support.images, size, axis=0).astype(self._dtype)
        predictor = self.model.prepare(images, pad(support.labels, size, axis=1), pad(counts, size, axis=1))
        return _probabilities(predictor(*targets.arrays(self._dtype)), len(targets.views))


class RankedSlices(SliceModel):
    """A model that takes in many slices, as ProtoSAM does, and compares each target with the best-ranked ones.

    It encodes a labelled slice once, when it first uses it, and keeps the encoding. With several structures the model
    gets the background as a class too, because it treats the first class as the background.
    """

    def probabilities(self, targets: Targets, choice: SliceChoice) -> np.ndarray:
        """Return probabilities (B,size,size,P)."""
        allowed = np.flatnonzero(targets.allowed[self.entries])
        among = self._candidates.take(allowed)
        at_once, parts = min(backend.encoded_at_once(), targets.batch), []  # targets share nothing: few save memory
        for start in range(0, len(targets.views), at_once):
            some = range(start, min(start + at_once, len(targets.views)))
            weights = np.zeros((at_once, len(self.entries)))
            weights[:, allowed] = 1  # targets that fill up the batch are constant, and cost nothing
            for row, b in enumerate(some):
                position = None if targets.positions is None else float(targets.positions[b])
                similarities = targets.similarities[b, self.entries[allowed]]
                order = choice.order(among, similarities, position, draw=targets.draw)
                weights[row, allowed[order]] = np.arange(len(order), 0, -1) / len(order)
            own = replace(targets, views=[targets.views[b] for b in some], batch=at_once)
            parts.append(_probabilities(self.predictor(*own.arrays(self._dtype), weights), len(some)))
        return np.concatenate(parts)[..., -len(self.support.labels) :]

    def forget(self, views: Sequence[View]) -> None:
        """Free the memory of targets that are not needed again."""
        if isinstance(self.model, OnDemandModel):
            self.model.forget(np.stack([view.pixels for view in views]).astype(self._dtype))

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor of all entries, made when it is first used."""
        labels = self.support.labels
        if len(labels) > 1:
            labels = np.concatenate([1 - labels.sum(axis=0, keepdims=True).clip(0, 1), labels])
        counts: np.ndarray = np.ones(labels.shape[:2], bool)
        return self.model.prepare(self.support.images.astype(self._dtype), labels, counts)


def _probabilities(logits, number: int) -> np.ndarray:
    """Turn logits (P,B,size,size,1) into probabilities (B,size,size,P) of the first targets."""
    return expit(np.moveaxis(np.asarray(logits, np.float32)[:, :number, ..., 0], 0, -1))
