"""The coarse half of ProtoSAM: from images to features, prototypes and coarse logits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.models.protosam.alp import Prototypes, prototypes, scores
from universeg_jax.models.protosam.config import ALPConfig, ProtoSAMConfig, Turn
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
    """

    sam: SAM
    extractor: FeatureExtractor | None

    def __call__(self, images: np.ndarray, *, embedding: bool) -> Encoded:
        """Encode images (B,H,W,3); `embedding` asks for that as well."""

        def encode(images: Array) -> Encoded:
            if self.extractor is None:
                both = self.sam.encode(images)
                return Encoded(both.early, both.embedding if embedding else None)
            return Encoded(self.extractor(images), self.sam.encode(images).embedding if embedding else None)

        return in_batches(encode, (images,), IMAGES_AT_ONCE)


@dataclass(frozen=True, eq=False)
class CoarseTask:
    """A task as prototypes, those of the support turned by each of the turns."""

    encoder: Encoder
    config: ALPConfig
    turned: tuple[tuple[Turn, Prototypes], ...]

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
            known = _prototypes(features, own, np.asarray(counts, bool), anywhere, config=config.alp)
            turned.append((turn, known))
        return cls(encoder, config.alp, tuple(turned))

    def logits(self, images: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Coarse logits (K,B,H,W), float32, of images (B,H,W,3) that are `encoded` as they are."""
        total = 0.0
        for turn, known in self.turned:
            if turn == Turn():
                features = encoded.features
            else:
                features = self.encoder(_turn(images, turn), embedding=False).features
            found = np.asarray(_logits(features, known, size=images.shape[1:3], config=self.config))
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


@partial(jax.jit, static_argnames="config")
def _prototypes(features: Array, labels: Array, counts: Array, anywhere: Array, *, config: ALPConfig) -> Prototypes:
    return prototypes(features, labels, counts, anywhere, config)


@partial(jax.jit, static_argnames=("size", "config"))
def _logits(features: Array, known: Prototypes, *, size: tuple[int, int], config: ALPConfig) -> Array:
    background, foreground = scores(features, known, config)
    difference = foreground - background
    classes, batch, height, width = difference.shape
    return resize_linear(difference.reshape(-1, height, width, 1), size).reshape(classes, batch, *size)


def _turn(maps: np.ndarray, turn: Turn) -> np.ndarray:
    """Maps (N,H,W,C), mirrored and turned."""
    maps = np.asarray(maps)
    return np.rot90(maps[:, :, ::-1] if turn.mirrored else maps, turn.quarters, axes=(1, 2))


def _turn_back(maps: np.ndarray, turn: Turn) -> np.ndarray:
    maps = np.rot90(maps, -turn.quarters, axes=(1, 2))
    return maps[:, :, ::-1] if turn.mirrored else maps
