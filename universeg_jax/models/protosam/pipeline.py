"""ProtoSAM (Ayzenberg et al., 2024): segment from one labelled image, with pretrained networks and no training.

1. Compare every pixel of a target with prototypes of the support (`encoder.py`, `alp.py`, `linear.py`, `coarse.py`).
2. Find connected components of the coarse mask and choose some (`prompts.py`).
3. Turn each component into a prompt: a box, points, a mask (`prompts.py`).
4. Run the decoder of a SAM on the prompts and combine its masks with the coarse mask (`refine.py`).

The features come from the SAM's own image encoder, in one pass for both halves, or from another network such as DINOv2.
"""

from weakref import WeakValueDictionary

import numpy as np
from scipy import ndimage

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.coarse import CoarseTask
from universeg_jax.models.protosam.config import MaskChoice, ProtoSAMConfig
from universeg_jax.models.protosam.encoder import DINOv2Features, Encoder, EncoderLike, FeatureExtractor, image_digest
from universeg_jax.models.protosam.prompts import INSIDE, count, find_components, union
from universeg_jax.models.protosam.refine import RefinementRequest, decode_components
from universeg_jax.models.protosam.task import ProtoSAMTask, check_size
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
    encodes_on_demand = True  # `prepare` is quick: an entry is encoded when a target first uses it

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

    def forget(self, images: Float[Array, "B H W 3"]) -> None:
        """Free the memory of encoded images that are not needed again."""
        self.encoder.forget(np.asarray(images))

    def prepare(
        self, images: Float[Array, "S H W 3"], labels: Float[Array, "K S H W 1"], mask: Shaped[Array, "K S"]
    ) -> "ProtoSAMTask":
        """Take in a support set and return the predictor of its task (`universeg_jax.InContextModel`).

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
        check_size(images, self.input_size)
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

    def encode_ahead(self, images: Float[Array, "B H W 3"]) -> None:
        """Encode images that a task will need; the encodings are kept in the cache of the encoder."""
        self.encoder(np.asarray(images), embedding=self.config.refinement is not None)

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


def _masks(labels: np.ndarray) -> np.ndarray:
    """Turn soft label maps (K,S,H,W) into masks, by a threshold of 0.5, or of half the maximum of a fainter map.

    Structures thinner than half a pixel never cover half of one.
    """
    return labels > np.minimum(0.5, labels.max(axis=(2, 3), keepdims=True) / 2)
