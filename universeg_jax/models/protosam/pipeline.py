"""ProtoSAM (Ayzenberg et al., 2024): segment from one labelled image, with pretrained networks and no training.

1. Compare every pixel of a target with prototypes of the support (`encoder.py`, `alp.py`, `linear.py`, `coarse.py`).
2. Find connected components of the coarse mask and choose some (`components.py`).
3. Turn each component into a prompt: a box, points, a mask (`prompts.py`).
4. Run the decoder of a SAM on the prompts and combine its masks with the coarse mask (`refine.py`).

The features come from the SAM's own image encoder, which needs one pass for both halves, or from another network such
as DINOv2.
"""

from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.special import expit

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.coarse import CoarseTask, Entries
from universeg_jax.models.protosam.components import Component, choose_components, count, find_components, union
from universeg_jax.models.protosam.config import MaskChoice, ProtoSAMConfig, RefinementConfig
from universeg_jax.models.protosam.encoder import DINOv2Features, Encoder, EncoderLike, FeatureExtractor, image_digest
from universeg_jax.models.protosam.padding import Regions, in_padding, repeat_edges
from universeg_jax.models.protosam.prompts import INSIDE
from universeg_jax.models.protosam.refine import LIMIT, RefinementRequest, combine, decode_components
from universeg_jax.models.sam.model import SAM
from universeg_jax.models.similarity import nearest_entries, similarity
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
        self.encoder: EncoderLike = Encoder(sam, features, self.config.stages)
        self._coarse_tasks: WeakValueDictionary[bytes, CoarseTask] = WeakValueDictionary()

    @property
    def sam(self) -> SAM:
        """The network that refines."""
        return self.encoder.sam

    def with_config(self, config: ProtoSAMConfig) -> "ProtoSAM":
        """Return a ProtoSAM of the same networks with other options.

        Both share their encodings if `stages` agree, and their coarse halves if all options of these agree.
        """
        other = ProtoSAM(self.sam, features=self.encoder.extractor, config=config)
        if config.stages == self.config.stages:
            other.encoder = self.encoder
            if _coarse_options(config) == _coarse_options(self.config):
                other._coarse_tasks = self._coarse_tasks
        return other

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
        refinement = self.config.refinement
        truths = _masks(labels[..., 0])
        components = np.array(
            [
                [count(mask, self.config.components) if counted else 0 for mask, counted in zip(*own, strict=True)]
                for own in zip(truths, counts, strict=True)
            ]
        )
        anywhere = components.max(axis=1) > self.config.countless
        key = b"".join(map(image_digest, (images, labels, counts, anywhere)))
        coarse = self._coarse_tasks.get(key)
        if coarse is None:
            coarse = CoarseTask(self.encoder, self.config, images, labels, counts, anywhere=anywhere)
            self._coarse_tasks[key] = coarse
        background = (np.arange(len(labels)) == 0) & (len(labels) > 1)
        refined = ~background & (refinement is not None)
        if refinement is not None and refinement.support_dice > 0:
            asked = counts & refined[:, None]
            refined &= self._support_dice(images, truths, asked, refinement.mask_choice) >= refinement.support_dice
        return ProtoSAMTask(
            encoder=self.encoder,
            config=self.config,
            coarse=coarse,
            images=images,
            counts=counts,
            shown=counts & truths.any(axis=(2, 3)),
            components=components,
            unlimited=anywhere | background,
            refined=tuple(refined.tolist()),
        )

    def _support_dice(
        self, images: np.ndarray, truths: np.ndarray, counts: np.ndarray, choice: MaskChoice
    ) -> np.ndarray:
        """Measure the decoder's mean Dice (K,) on prompts of the true masks; 0 for a class without foreground."""
        requests, classes = [], []
        tested = [np.flatnonzero(entries)[:CHECKED] for entries in counts & truths.any(axis=(2, 3))]
        used = np.unique(np.concatenate(tested))
        if not len(used):
            return np.zeros(len(truths))
        embedding = self.encoder(images[used], embedding=True).embedding
        for k, entries in enumerate(tested):
            for s in entries:
                components = find_components(truths[k, s].astype(np.float32))[: self.config.components.at_most]
                # Pixels far from the outline are slightly more confident.
                depth = 1e-3 * ndimage.distance_transform_edt(truths[k, s])
                logits = np.where(truths[k, s], INSIDE + depth, -INSIDE).astype(np.float32)
                requests.append(RefinementRequest(int(np.searchsorted(used, s)), components, logits, logits.size))
                classes.append(k)
        scores: list[list[float]] = [[] for _ in truths]
        results = decode_components(self.sam, embedding, requests, self.config.prompts, choice)
        for request, k, decoded in zip(requests, classes, results, strict=True):
            # Compare requested components only: at most `at_most` of them are refined.
            truth, found = union(request.components, request.logits.shape), np.max(decoded, axis=0) > 0
            scores[k].append(2 * (truth & found).sum() / (truth.sum() + found.sum()))
        return np.array([np.mean(own) if own else 0.0 for own in scores])


@dataclass(frozen=True, eq=False)
class ProtoSAMTask:
    """A task of K classes, ready for any number of targets.

    Attributes:
        encoder: of targets.
        config: of the system.
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
            regions: (B,4) places of the images in their squares (`padding.py`); None if they fill them.
            weights: (B,S) weights of support entries for each target. Entries with weight 0 are not used, and those
                with a larger weight are preferred to others; see `ProtoSAMConfig.nearest`. None prefers the entries
                most similar to the target.

        Raises:
            ValueError: for images that are not of the size of the network.
        """
        targets, size = np.asarray(targets), self.encoder.sam.config.input_size
        _check_size(targets, size)
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


def _coarse_options(config: ProtoSAMConfig) -> tuple:
    return config.alp, config.linear, config.turns


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
