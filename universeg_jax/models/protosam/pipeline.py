"""ProtoSAM (Ayzenberg et al., 2024): segment by one labelled image, with networks that are used as they are.

1. Features of the support become prototypes, and every pixel of a target is compared with them (`alp.py`, `coarse.py`).
2. The coarse mask's connected components are found, and some are kept (`components.py`).
3. Each becomes a prompt for a SAM: a box, points, a mask (`prompts.py`).
4. What the SAM's decoder draws for them is put together with the coarse mask (`refine.py`).

The features can be those of the SAM's own image encoder, so that one encoder pass serves both halves, or of another
network such as DINOv2 (`features.py`).
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.special import expit

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.coarse import CoarseTask, DINOv2Features, Encoded, Encoder, FeatureExtractor
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.prompts import (
    INSIDE,
    Component,
    Regions,
    choose_components,
    count,
    find_components,
    outside,
    spread,
    union,
)
from universeg_jax.models.protosam.refine import LIMIT, Request, compose, draw
from universeg_jax.models.sam.model import SAM
from universeg_jax.shapes import Array, Float, Shaped

CHECKED = 4  # support entries of each class that the decoder is checked on


class ProtoSAM:
    """The system, as the segmenter takes it: `Segmenter(ProtoSAM(sam)).fit(images, labels).predict(new_images)`.

    Args:
        sam: the network that refines.
        features: of images for prototypes, `FeatureExtractor`; None takes those of the SAM's own image encoder.
        config: everything that can be chosen.

    Raises:
        InputError: for what is no SAM or no configuration, and for choices that the features do not have.
    """

    input_channels = 3
    padding = "edge"  # black bands could be what looks most like a dark structure

    def __init__(
        self, sam: SAM, *, features: FeatureExtractor | None = None, config: ProtoSAMConfig | None = None
    ) -> None:
        self.config = ProtoSAMConfig() if config is None else config
        _check_parts(sam, features, self.config)
        self.encoder = Encoder(sam, features, self.config.stages)

    @property
    def sam(self) -> SAM:
        return self.encoder.sam

    @property
    def input_size(self) -> int:
        return self.sam.config.input_size

    def prepare(
        self, images: Float[Array, "S H W 3"], labels: Float[Array, "K S H W 1"], mask: Shaped[Array, "K S"]
    ) -> "ProtoSAMTask":
        """Take in a support set and return the predictor of its task (`universeg_jax.segment.InContextModel`).

        Entries without foreground give prototypes of the background; a class without any foreground is found nowhere,
        one that covers all images of the support everywhere. Of several classes the first is the background: it may
        have any number of components, the decoder is not asked for it, and it loses what that adds to the others.

        Raises:
            ValueError: for shapes that do not fit together, or images that are not of the size of the network.
        """
        images, labels, counts = np.asarray(images), np.asarray(labels), np.asarray(mask).astype(bool)
        if labels.shape[1:4] != images.shape[:3] or counts.shape != labels.shape[:2]:
            raise ValueError(
                f"images {images.shape}, labels {labels.shape} and mask {counts.shape} do not fit together: pass "
                "(S,H,W,3), (K,S,H,W,1) and (K,S)"
            )
        _check_size(images, self.input_size)
        refines = self.config.refinement is not None
        encoded = self.encoder(images, embedding=refines)
        truths = _masks(labels[..., 0])
        in_support = np.array(
            [
                max((count(mask, self.config.components) for mask in masks[own]), default=0)
                for masks, own in zip(truths, counts, strict=True)
            ]
        )
        anywhere = in_support > self.config.countless
        coarse = CoarseTask.of(self.encoder, self.config, images, labels, counts, anywhere=anywhere, encoded=encoded)
        background = (np.arange(len(labels)) == 0) & (len(labels) > 1)
        refined = refines & ~background
        if refines and self.config.refinement.support_dice > 0:
            asked = counts & refined[:, None]
            refined &= self._support_dice(encoded, truths, asked) >= self.config.refinement.support_dice
        unlimited = anywhere | background
        most = [None if any_number else int(n) for n, any_number in zip(in_support, unlimited, strict=True)]
        return ProtoSAMTask(self.encoder, self.config, coarse, tuple(most), tuple(refined.tolist()))

    def _support_dice(self, encoded: Encoded, truths: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(K,) mean Dice of what the decoder makes of the true masks' own prompts; 0 for a class without foreground."""
        requests, classes = [], []
        for k, entries in enumerate(counts & truths.any(axis=(2, 3))):
            for s in np.flatnonzero(entries)[:CHECKED]:
                components = find_components(truths[k, s].astype(np.float32))[: self.config.components.at_most]
                # The deepest pixels are the most confident ones, by a little.
                depth = 1e-3 * ndimage.distance_transform_edt(truths[k, s])
                logits = np.where(truths[k, s], INSIDE + depth, -INSIDE).astype(np.float32)
                requests.append(Request(int(s), components, logits, logits.size))
                classes.append(k)
        scores: list[list[float]] = [[] for _ in truths]
        for request, k, drawn in zip(requests, classes, self._drawn(encoded.embedding, requests), strict=True):
            # Of what was asked for: structures of more than `at_most` components are not refined in all of them.
            truth, found = union(request.components, request.logits.shape), np.max(drawn, axis=0) > 0
            scores[k].append(2 * (truth & found).sum() / (truth.sum() + found.sum()))
        return np.array([np.mean(own) if own else 0.0 for own in scores])

    def _drawn(self, embedding: Array, requests: list[Request]):
        return draw(self.sam, embedding, requests, self.config.prompts, self.config.refinement.mask_choice)


@dataclass(frozen=True, eq=False)
class ProtoSAMTask:
    """A task of K classes, ready for any number of targets: nothing of the support is computed again.

    Attributes:
        in_support: (K,) the largest number of components in a mask of the support; None for structures in any number.
        refined: (K,) whether the decoder is asked.
    """

    encoder: Encoder
    config: ProtoSAMConfig
    coarse: CoarseTask
    in_support: tuple[int | None, ...]
    refined: tuple[bool, ...]

    def __call__(self, targets: Float[Array, "B H W 3"], regions: Regions | None = None) -> Float[Array, "K B H W 1"]:
        """Logits of targets in [0,1], float32, within ±LIMIT where refined.

        A constant image, in which nothing can be seen, has no foreground.

        Args:
            regions: (B,4) where the images lie in their squares (`regions.py`); None if they fill them.

        Raises:
            ValueError: for images that are not of the size of the network.
        """
        targets, size = np.asarray(targets), self.encoder.sam.config.input_size
        _check_size(targets, size)
        regions = np.tile((0, 0, size, size), (len(targets), 1)) if regions is None else np.asarray(regions)
        encoded = self.encoder(targets, embedding=any(self.refined))
        padding = outside(regions, targets.shape[1:3])
        logits = self.coarse.logits(targets, encoded)
        logits = np.where(padding, -np.abs(logits), logits)
        logits[:, targets.min(axis=(1, 2, 3)) == targets.max(axis=(1, 2, 3))] = -LIMIT
        requests, places = [], []
        for k, of_class in enumerate(logits):
            for b, one in enumerate(of_class):
                kept = self._kept(one, k)
                of_class[b] = _without_others(one, kept)
                if kept and self.refined[k]:
                    requests.append(Request(b, kept, of_class[b].copy(), int((~padding[b]).sum())))
                    places.append((k, b))
        if requests:
            coarse = logits.copy()
            self._refine(logits, encoded.embedding, requests, places, padding)
            if len(logits) > 1:
                logits[0] = _without_added(logits, coarse)
        return jnp.asarray(spread(logits, regions))[..., None]

    def _kept(self, logits: np.ndarray, k: int) -> list[Component]:
        return choose_components(find_components(expit(logits)), self.config.components, self.in_support[k])

    def _refine(
        self, logits: np.ndarray, embedding: Array, requests: list[Request], places: list, padding: np.ndarray
    ) -> None:
        """Replace coarse logits (K,B,H,W) at the places (k,b) of the requests."""
        most, refinement = self.config.components.at_most, self.config.refinement
        asked = [replace(request, components=request.components[:most]) for request in requests]
        drawings = draw(self.encoder.sam, embedding, asked, self.config.prompts, refinement.mask_choice)
        for request, (k, b), drawn in zip(requests, places, drawings, strict=True):
            drawn = [np.where(padding[b], -LIMIT, one) for one in drawn]
            logits[k, b] = compose(request, drawn, refinement)


def _check_parts(sam: SAM, features: FeatureExtractor | None, config: ProtoSAMConfig) -> None:
    if not isinstance(config, ProtoSAMConfig):
        raise InputError(f"config={config!r}: pass a ProtoSAMConfig, such as ProtoSAMConfig.upstream()")
    if not (hasattr(sam, "encode") and hasattr(sam, "decode")):
        raise InputError(f"sam is a {type(sam).__name__}: pass a SAM, as `universeg_jax.weights.load` returns it")
    if features is not None and config.stages is not None and len(config.stages) > 1:
        raise InputError(f"stages={config.stages}: only the SAM's own features have several; pass None")
    if config.standardise and isinstance(features, DINOv2Features) and not features.standardise:
        raise InputError(
            "the configuration has standardise=True, the features have not: pass DINOv2Features(…, standardise=True)"
        )


def _check_size(images: np.ndarray, size: int) -> None:
    """Raise a ValueError unless images (N,H,W,C) are squares of this side."""
    if images.shape[1:3] != (size, size):
        raise ValueError(f"images are {images.shape[1]}x{images.shape[2]}: this SAM takes {size}x{size}")


def _masks(labels: np.ndarray) -> np.ndarray:
    """Bool of label maps (K,S,H,W) in [0,1]: above 0.5, or above half the maximum of those that are nowhere so sure.

    What is thinner than half a pixel of the model nowhere covers half of one.
    """
    return labels > np.minimum(0.5, labels.max(axis=(2, 3), keepdims=True) / 2)


def _without_others(logits: np.ndarray, kept: list[Component]) -> np.ndarray:
    """Logits (H,W) that are positive in the components that are kept alone."""
    return np.where((logits > 0) & ~union(kept, logits.shape), -logits, logits)


def _without_added(logits: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The background (B,H,W) of logits (K,B,H,W), negative where the decoder has added to another class.

    Elsewhere it stays as the prototypes have it.
    """
    others = logits[1:].max(axis=0)
    added = (others > 0) & (coarse[1:].max(axis=0) <= 0)
    return np.where(added, -others, logits[0])
