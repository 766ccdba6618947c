"""Predict with a prepared ProtoSAM: coarse logits, components of each target, their refinement, and the padding."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from universeg_jax.models.in_context import nearest_entries, similarity
from universeg_jax.models.protosam.coarse import CoarseTask, Entries
from universeg_jax.models.protosam.config import ProtoSAMConfig, RefinementConfig
from universeg_jax.models.protosam.encoder import EncoderLike
from universeg_jax.models.protosam.prompts import Component, choose_components, find_components, union
from universeg_jax.models.protosam.refine import LIMIT, RefinementRequest, combine, decode_components
from universeg_jax.shapes import Array, Bool, Float, Int

Regions = Int[Array, "B 4"]
"""Places of images in their squares: top, left, bottom, right in pixels, the last two excluded."""


def in_padding(regions: Regions, size: tuple[int, int]) -> Bool[Array, "B H W"]:
    """Return masks that are True in the padding, which is kept out of masks.

    Padding repeats the edge of an image. A speck at the edge would become a band across the padding, and outweigh the
    structure itself.
    """
    top, left, bottom, right = regions.T[..., None]
    rows, columns = np.arange(size[0]), np.arange(size[1])
    within_rows, within_columns = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
    return ~(within_rows[:, :, None] & within_columns[:, None, :])


def repeat_edges(logits: Float[Array, "K B H W"], regions: Regions) -> Float[Array, "K B H W"]:
    """Replace logits in the padding by those at the edge of the region, as the padding of images is made."""
    height, width = logits.shape[2:]
    repeated = np.empty_like(logits)
    for b, (top, left, bottom, right) in enumerate(regions):
        rows, columns = np.arange(height).clip(top, bottom - 1), np.arange(width).clip(left, right - 1)
        repeated[:, b] = logits[:, b][:, rows[:, None], columns]
    return repeated


@dataclass(frozen=True, eq=False)
class ProtoSAMTask:
    """A task of K classes, ready for any number of targets.

    Attributes:
        encoder: encoder of targets.
        config: configuration of the system.
        coarse: the coarse half.
        images: (S,H,W,3) support images.
        counts: (K,S), True where an entry counts for a class.
        shown: (K,S), True where an entry that counts shows a class.
        components: (K,S) number of components in each support mask that counts.
        unlimited: (K,) True for classes in any number.
        refined: (K,) True if the decoder refines the class.
    """

    encoder: EncoderLike
    config: ProtoSAMConfig
    coarse: CoarseTask
    images: np.ndarray
    counts: np.ndarray
    shown: np.ndarray
    components: np.ndarray
    unlimited: np.ndarray
    refined: tuple[bool, ...]

    @property
    def in_support(self) -> tuple[int | None, ...]:
        """Largest number of components in one support mask of each class; None for a class in any number."""
        return self._limits(self.components.max(axis=1))

    def __call__(
        self, targets: Float[Array, "B H W 3"], regions: Regions | None = None, weights: Array | None = None
    ) -> Float[Array, "K B H W 1"]:
        """Return logits of targets in [0,1], float32, within ±LIMIT where they are refined.

        A constant image has no foreground.

        Args:
            targets: images.
            regions: (B,4) places of the images in their squares (`in_padding`); None if they fill them.
            weights: (B,S) weights of support entries for each target. Entries with weight 0 are not used, and those
                with a larger weight are preferred to others; see `ProtoSAMConfig.nearest`. None prefers the entries
                most similar to the target.

        Raises:
            ValueError: for images that are not of the size of the network.
        """
        targets, size = np.asarray(targets), self.encoder.sam.config.input_size
        check_size(targets, size)
        regions = np.tile((0, 0, size, size), (len(targets), 1)) if regions is None else np.asarray(regions)
        # Constant images need no network. Such images fill up a batch.
        varied = targets.min(axis=(1, 2, 3)) < targets.max(axis=(1, 2, 3))
        logits: np.ndarray = np.full((len(self.counts), len(targets), size, size), -LIMIT, np.float32)
        if varied.any():
            weights = None if weights is None else np.asarray(weights, np.float64)[varied]
            logits[:, varied] = self._logits(targets[varied], regions[varied], weights)
        return jnp.asarray(repeat_edges(logits, regions))[..., None]

    def _logits(self, targets: np.ndarray, regions: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Return logits (K,B,H,W) of images that are not constant."""
        entries, limits = self._entries(targets, weights)
        encoded = self.encoder(targets, embedding=any(self.refined))
        padding = in_padding(regions, targets.shape[1:3])
        logits = self.coarse.logits(targets, encoded, entries)
        logits = np.where(padding, -np.abs(logits), logits)
        requests, places = [], []
        for k, of_class in enumerate(logits):
            for b, one in enumerate(of_class):
                kept = self._kept(one, limits[b][k])
                of_class[b] = _without_others(one, kept)
                if kept and self.refined[k]:
                    requests.append(RefinementRequest(b, kept, of_class[b].copy(), int((~padding[b]).sum())))
                    places.append((k, b))
        if requests and self.config.refinement is not None:
            coarse = logits.copy()
            self._refine(logits, encoded.embedding, requests, places, padding, self.config.refinement)
            if len(logits) > 1:
                logits[0] = _without_added(logits, coarse)
        return logits

    def _entries(
        self, targets: np.ndarray, weights: np.ndarray | None
    ) -> tuple[list[Entries], list[tuple[int | None, ...]]]:
        """Choose support entries for each target.

        Returns:
            For each target its entries, and for each class the largest number of components in one of the masks that it
            may use; None for a class in any number.
        """
        allowed = np.tile(self.counts.any(axis=0), (len(targets), 1))
        preferred = np.zeros(allowed.shape)
        if weights is not None:
            preferred = weights
            allowed &= preferred > 0
        if not allowed.any(axis=1).all():
            raise ValueError("weights: give every target an entry that counts")
        chosen = allowed
        if self.config.nearest is not None and allowed.sum(axis=1).max() > self.config.nearest:
            alike = similarity(targets, self.images)
            ranks = np.lexsort((alike, preferred), axis=1).argsort(axis=1).astype(np.float64)
            chosen = nearest_entries(np.where(allowed, ranks, -np.inf), self.shown, self.config.nearest)
        limits = [self._limits(most) for most in (self.components * allowed[:, None]).max(axis=2)]
        sets = ([tuple(np.flatnonzero(own).tolist()) for own in each] for each in (chosen, allowed))
        return [Entries(*own) for own in zip(*sets, strict=True)], limits

    def _limits(self, most: np.ndarray) -> tuple[int | None, ...]:
        return tuple(None if any_number else int(n) for n, any_number in zip(most, self.unlimited, strict=True))

    def _kept(self, logits: np.ndarray, limit: int | None) -> list[Component]:
        return choose_components(find_components(expit(logits)), self.config.components, limit)

    def _refine(
        self,
        logits: np.ndarray,
        embedding: Array,
        requests: list[RefinementRequest],
        places: list[tuple[int, int]],
        padding: np.ndarray,
        refinement: RefinementConfig,
    ) -> None:
        """Replace coarse logits (K,B,H,W) at places (k,b), one for each request."""
        most = self.config.components.at_most
        asked = [replace(request, components=request.components[:most]) for request in requests]
        results = decode_components(self.encoder.sam, embedding, asked, self.config.prompts, refinement.mask_choice)
        for request, (k, b), decoded in zip(requests, places, results, strict=True):
            decoded = [np.where(padding[b], -LIMIT, one) for one in decoded]
            logits[k, b] = combine(request, decoded, refinement)


def check_size(images: np.ndarray, size: int) -> None:
    """Raise a ValueError unless images (N,H,W,C) are squares of this side."""
    if images.shape[1:3] != (size, size):
        raise ValueError(f"images are {images.shape[1]}x{images.shape[2]}: this SAM takes {size}x{size}")


def _without_others(logits: np.ndarray, kept: list[Component]) -> np.ndarray:
    """Make logits (H,W) negative outside the kept components."""
    return np.where((logits > 0) & ~union(kept, logits.shape), -logits, logits)


def _without_added(logits: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the background (B,H,W) of logits (K,B,H,W), made negative where refinement added to another class."""
    others = logits[1:].max(axis=0)
    added = (others > 0) & (coarse[1:].max(axis=0) <= 0)
    return np.where(added, -others, logits[0])
