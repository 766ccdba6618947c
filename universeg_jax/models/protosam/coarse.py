"""The coarse half of ProtoSAM: from images to features, prototypes and coarse logits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.alp import Prototypes, prototypes, scores, unit
from universeg_jax.models.protosam.config import STAGES, ALPConfig, LinearConfig, ProtoSAMConfig, Turn
from universeg_jax.models.protosam.linear import LinearClassifier, fit_linear, linear_scores
from universeg_jax.models.protosam.memory import Memory
from universeg_jax.models.protosam.neck import Features
from universeg_jax.models.protosam.sam import SAM
from universeg_jax.nn.resample import resize_linear
from universeg_jax.typing import Array

IMAGES_AT_ONCE = 4  # in the encoders, whose early stages are as large as the image


class FeatureExtractor(Protocol):
    """Whatever gives features that are alike where images show the same: images (B,H,W,3) in [0,1] -> (B,h,w,C)."""

    def __call__(self, images: Array) -> Array: ...


class Encoded(NamedTuple):
    """Features (B,h,w,C) for prototypes; embedding (B,h',w',F) for the mask decoder, None where it is not asked for."""

    features: Array
    embedding: Array | None


@dataclass(frozen=True, eq=False)
class Encoder:
    """Both halves' encoders: SAM's own for both in one pass, or another one for the features.

    Args:
        sam: the network that refines.
        extractor: of features for prototypes; None takes those of SAM's image encoder before its neck.
        stages: `ProtoSAMConfig.stages`, of these.
        memory: of the last images, so that they are not encoded again. Make another `ProtoSAM` where weights change.
    """

    sam: SAM
    extractor: FeatureExtractor | None
    stages: tuple[float, ...] | None
    memory: Memory = field(default_factory=Memory)

    def __call__(self, images: np.ndarray, *, embedding: bool) -> Encoded:
        """Encode images (B,H,W,3); `embedding` asks for that as well.

        Raises:
            InputError: for weights of more stages than the image encoder has, and for features of another shape.
        """

        def encode(images: Array) -> Encoded:
            if self.extractor is None:
                both = self.sam.encode(images)
                return Encoded(_mixed(both, self.stages), both.embedding if embedding else None)
            features = self.extractor(images)
            if features.ndim != 4 or len(features) != len(images):
                raise InputError(f"features of images {images.shape} are {features.shape}: return (B,h,w,C) for B")
            return Encoded(features, self.sam.encode(images).embedding if embedding else None)

        return self.memory.of(images, embedding, compute=lambda unknown: in_batches(encode, (unknown,), IMAGES_AT_ONCE))


class Known(NamedTuple):
    """What is known of a task from its support."""

    prototypes: Prototypes
    linear: LinearClassifier | None


@dataclass(frozen=True, eq=False)
class CoarseTask:
    """A task as what is known of it from the support turned by each of the turns."""

    encoder: Encoder
    config: ProtoSAMConfig
    turned: tuple[tuple[Turn, Known], ...]

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        config: ProtoSAMConfig,
        images: np.ndarray,
        labels: np.ndarray,
        counts: np.ndarray,
        *,
        anywhere: np.ndarray,
        encoded: Encoded,
    ) -> "CoarseTask":
        """Take in a support set (S,H,W,3), (K,S,H,W,1), (K,S), (K,); `encoded` are its images as they are."""
        turned = []
        for turn in config.turns:
            features = encoded.features if turn == Turn() else encoder(_turn(images, turn), embedding=False).features
            own = _turn(labels.reshape(-1, *labels.shape[2:]), turn).reshape(labels.shape)[..., 0]
            counted = np.asarray(counts, bool)
            known = _known(features, own, counted, anywhere, alp=config.alp, linear=config.linear)
            turned.append((turn, known))
        return cls(encoder, config, tuple(turned))

    def logits(self, images: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Coarse logits (K,B,H,W), float32, of images (B,H,W,3) that are `encoded` as they are."""
        total = 0.0
        for turn, known in self.turned:
            if turn == Turn():
                features = encoded.features
            else:
                features = self.encoder(_turn(images, turn), embedding=False).features
            alp, linear = self.config.alp, self.config.linear
            found = np.asarray(_logits(features, known, size=images.shape[1:3], alp=alp, linear=linear))
            classes, batch, height, width = found.shape
            found = _turn_back(found.reshape(-1, height, width, 1), turn)
            total = total + found.reshape(classes, batch, *found.shape[1:3])
        return total / len(self.turned)


def in_batches(function: Callable, arrays: tuple, at_once: int):
    """Apply a function to `at_once` entries of arrays at a time and concatenate what it returns.

    The last entries are filled up to a power of two with the last of them, so that it compiles for few shapes.
    """
    results = []
    for start in range(0, len(arrays[0]), at_once):
        parts = [array[start : start + at_once] for array in arrays]
        count = len(parts[0])
        size = min(at_once, 1 << (count - 1).bit_length())
        filled = [jnp.concatenate([part, jnp.repeat(part[-1:], size - count, axis=0)]) for part in parts]
        results.append(jax.tree.map(lambda x, count=count: x[:count], function(*filled)))
    return results[0] if len(results) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)


@partial(jax.jit, static_argnames=("alp", "linear"))
def _known(
    features: Array, labels: Array, counts: Array, anywhere: Array, *, alp: ALPConfig, linear: LinearConfig | None
) -> Known:
    support = (features, labels, counts, anywhere, alp)
    return Known(prototypes(*support), None if linear is None else fit_linear(*support, linear))


@partial(jax.jit, static_argnames=("size", "alp", "linear"))
def _logits(
    features: Array, known: Known, *, size: tuple[int, int], alp: ALPConfig, linear: LinearConfig | None
) -> Array:
    background, foreground = scores(features, known.prototypes, alp)
    logits = foreground - background
    if linear is not None:
        logits = logits + linear.weight * linear_scores(features, known.linear)
    classes, batch, height, width = logits.shape
    return resize_linear(logits.reshape(-1, height, width, 1), size).reshape(classes, batch, *size)


def _mixed(features: Features, weights: tuple[float, ...] | None) -> Array:
    """Features (B,h,w,·) of the last stages, so that their cosine is the weighted mean of the stages' cosines."""
    stages = (*features.earlier, features.early)
    weights = STAGES[-len(stages) :] if weights is None else weights
    if len(weights) > len(stages):
        raise InputError(
            f"stages={weights}: this image encoder has {len(stages)} of them: pass at most so many weights, or None"
        )
    if len(weights) == 1:
        return features.early
    stages = stages[-len(weights) :]
    return jnp.concatenate(
        [w**0.5 * unit(x.astype(jnp.float32)) for w, x in zip(weights, stages, strict=True)], axis=-1
    )


def _turn(maps: np.ndarray, turn: Turn) -> np.ndarray:
    """Maps (N,H,W,C), mirrored and turned."""
    maps = np.asarray(maps)
    maps = np.rot90(maps[:, :, ::-1] if turn.mirrored else maps, turn.quarters, axes=(1, 2))
    return _rotate(maps, turn.degrees)


def _turn_back(maps: np.ndarray, turn: Turn) -> np.ndarray:
    maps = np.rot90(_rotate(maps, -turn.degrees), -turn.quarters, axes=(1, 2))
    return maps[:, :, ::-1] if turn.mirrored else maps


def _rotate(maps: np.ndarray, degrees: float) -> np.ndarray:
    """Maps (N,H,W,C) rotated counter-clockwise, their shape kept."""
    if degrees == 0:
        return maps
    # SciPy knows no bfloat16.
    turned = ndimage.rotate(maps.astype(np.float32), degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")
    return turned.astype(maps.dtype)
