"""ProtoSAM (Ayzenberg et al., 2024): segment from one labelled image, with pretrained networks and no training.

1. Compare every pixel of a target with prototypes of the support (`encoder.py`, `alp.py`, `linear.py`, `coarse.py`).
2. Find connected components of the coarse mask and choose some (`components.py`).
3. Turn each component into a prompt: a box, points, a mask (`prompts.py`).
4. Run the decoder of a SAM on the prompts and combine its masks with the coarse mask (`refine.py`).

The features come from the SAM's own image encoder, which needs one pass for both halves, or from another network such
as DINOv2.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.special import expit

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.coarse import CoarseTask
from universeg_jax.models.protosam.components import Component, choose_components, count, find_components, union
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.encoder import DINOv2Features, Encoded, Encoder, FeatureExtractor
from universeg_jax.models.protosam.padding import Regions, in_padding, repeat_edges
from universeg_jax.models.protosam.prompts import INSIDE
from universeg_jax.models.protosam.refine import LIMIT, RefinementRequest, combine, decode_components
from universeg_jax.models.sam.model import SAM
from universeg_jax.shapes import Array, Float, Shaped

CHECKED = 4  # support entries of each class that the decoder is tested on


class ProtoSAM:
    """ProtoSAM as an in-context model: `Segmenter(ProtoSAM(sam)).fit(images, labels).predict(new_images)`.

    Args:
        sam: the network that refines.
        features: `FeatureExtractor` for prototypes; None takes features of the SAM's own image encoder.
        config: all options; None is `ProtoSAMConfig()`.

    Raises:
        InputError: for arguments of a wrong type, and options that the features do not support.
    """

    input_channels = 3
    padding = "edge"  # black bands could look like a dark structure

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

        Entries without foreground give prototypes of the background. A class without any foreground is found nowhere,
        and a class that covers all support images is found everywhere. With several classes the first one is the
        background: it may have any number of components, is not refined, and loses pixels that refinement adds to
        other classes.

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
        """Measure the decoder's mean Dice (K,) on prompts of the true masks; 0 for a class without foreground."""
        requests, classes = [], []
        for k, entries in enumerate(counts & truths.any(axis=(2, 3))):
            for s in np.flatnonzero(entries)[:CHECKED]:
                components = find_components(truths[k, s].astype(np.float32))[: self.config.components.at_most]
                # Pixels far from the outline are slightly more confident.
                depth = 1e-3 * ndimage.distance_transform_edt(truths[k, s])
                logits = np.where(truths[k, s], INSIDE + depth, -INSIDE).astype(np.float32)
                requests.append(RefinementRequest(int(s), components, logits, logits.size))
                classes.append(k)
        scores: list[list[float]] = [[] for _ in truths]
        for request, k, decoded in zip(requests, classes, self._decoded(encoded.embedding, requests), strict=True):
            # Compare requested components only: at most `at_most` of them are refined.
            truth, found = union(request.components, request.logits.shape), np.max(decoded, axis=0) > 0
            scores[k].append(2 * (truth & found).sum() / (truth.sum() + found.sum()))
        return np.array([np.mean(own) if own else 0.0 for own in scores])

    def _decoded(self, embedding: Array, requests: list[RefinementRequest]) -> Iterator[list[np.ndarray]]:
        return decode_components(self.sam, embedding, requests, self.config.prompts, self.config.refinement.mask_choice)


@dataclass(frozen=True, eq=False)
class ProtoSAMTask:
    """A task of K classes, ready for any number of targets.

    Attributes:
        encoder: of targets.
        config: of the system.
        coarse: the coarse half.
        in_support: (K,) largest number of components in a mask of the support; None for structures in any number.
        refined: (K,) True if the decoder refines the class.
    """

    encoder: Encoder
    config: ProtoSAMConfig
    coarse: CoarseTask
    in_support: tuple[int | None, ...]
    refined: tuple[bool, ...]

    def __call__(self, targets: Float[Array, "B H W 3"], regions: Regions | None = None) -> Float[Array, "K B H W 1"]:
        """Return logits of targets in [0,1], float32, within ±LIMIT where they are refined.

        A constant image has no foreground.

        Args:
            targets: images.
            regions: (B,4) places of the images in their squares (`padding.py`); None if they fill them.

        Raises:
            ValueError: for images that are not of the size of the network.
        """
        targets, size = np.asarray(targets), self.encoder.sam.config.input_size
        _check_size(targets, size)
        regions = np.tile((0, 0, size, size), (len(targets), 1)) if regions is None else np.asarray(regions)
        encoded = self.encoder(targets, embedding=any(self.refined))
        padding = in_padding(regions, targets.shape[1:3])
        logits = self.coarse.logits(targets, encoded)
        logits = np.where(padding, -np.abs(logits), logits)
        logits[:, targets.min(axis=(1, 2, 3)) == targets.max(axis=(1, 2, 3))] = -LIMIT
        requests, places = [], []
        for k, of_class in enumerate(logits):
            for b, one in enumerate(of_class):
                kept = self._kept(one, k)
                of_class[b] = _without_others(one, kept)
                if kept and self.refined[k]:
                    requests.append(RefinementRequest(b, kept, of_class[b].copy(), int((~padding[b]).sum())))
                    places.append((k, b))
        if requests:
            coarse = logits.copy()
            self._refine(logits, encoded.embedding, requests, places, padding)
            if len(logits) > 1:
                logits[0] = _without_added(logits, coarse)
        return jnp.asarray(repeat_edges(logits, regions))[..., None]

    def _kept(self, logits: np.ndarray, k: int) -> list[Component]:
        return choose_components(find_components(expit(logits)), self.config.components, self.in_support[k])

    def _refine(
        self, logits: np.ndarray, embedding: Array, requests: list[RefinementRequest], places: list, padding: np.ndarray
    ) -> None:
        """Replace coarse logits (K,B,H,W) at places (k,b), one for each request."""
        most, refinement = self.config.components.at_most, self.config.refinement
        asked = [replace(request, components=request.components[:most]) for request in requests]
        results = decode_components(self.encoder.sam, embedding, asked, self.config.prompts, refinement.mask_choice)
        for request, (k, b), decoded in zip(requests, places, results, strict=True):
            decoded = [np.where(padding[b], -LIMIT, one) for one in decoded]
            logits[k, b] = combine(request, decoded, refinement)


def _check_parts(sam: SAM, features: FeatureExtractor | None, config: ProtoSAMConfig) -> None:
    if not isinstance(config, ProtoSAMConfig):
        raise InputError(f"config={config!r}: pass a ProtoSAMConfig, such as ProtoSAMConfig.upstream()")
    if not (hasattr(sam, "encode") and hasattr(sam, "decode")):
        raise InputError(f"sam is a {type(sam).__name__}: pass a SAM, as `universeg_jax.weights.load` returns it")
    if features is not None and config.stages is not None and len(config.stages) > 1:
        raise InputError(f"stages={config.stages}: only the SAM's own features have several; pass None")
    if config.standardise and isinstance(features, DINOv2Features) and not features.standardise:
        raise InputError(
            "the configuration has standardise=True, the features standardise=False: "
            "pass DINOv2Features(…, standardise=True)"
        )


def _check_size(images: np.ndarray, size: int) -> None:
    """Raise a ValueError unless images (N,H,W,C) are squares of this side."""
    if images.shape[1:3] != (size, size):
        raise ValueError(f"images are {images.shape[1]}x{images.shape[2]}: this SAM takes {size}x{size}")


def _masks(labels: np.ndarray) -> np.ndarray:
    """Turn soft label maps (K,S,H,W) into masks, by a threshold of 0.5, or of half the maximum of a fainter map.

    Structures thinner than half a pixel never cover half of one.
    """
    return labels > np.minimum(0.5, labels.max(axis=(2, 3), keepdims=True) / 2)


def _without_others(logits: np.ndarray, kept: list[Component]) -> np.ndarray:
    """Make logits (H,W) negative outside the kept components."""
    return np.where((logits > 0) & ~union(kept, logits.shape), -logits, logits)


def _without_added(logits: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the background (B,H,W) of logits (K,B,H,W), made negative where refinement added to another class."""
    others = logits[1:].max(axis=0)
    added = (others > 0) & (coarse[1:].max(axis=0) <= 0)
    return np.where(added, -others, logits[0])
