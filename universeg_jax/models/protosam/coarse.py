"""Coarse half of ProtoSAM: from encoded support images and labels to coarse logits of targets."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from scipy import ndimage

from universeg_jax.models.protosam.alp import Prototypes, prototypes, scores
from universeg_jax.models.protosam.config import ALPConfig, LinearConfig, ProtoSAMConfig, Turn
from universeg_jax.models.protosam.encoder import Encoded, Encoder
from universeg_jax.models.protosam.linear import LinearClassifier, fit_linear, linear_scores
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array


class EncodedSupport(NamedTuple):
    """Prototypes and classifier of a support set; the classifier is None if the configuration has none."""

    prototypes: Prototypes
    linear: LinearClassifier | None


@dataclass(frozen=True, eq=False)
class CoarseTask:
    """A task, ready to give coarse logits.

    Attributes:
        encoder: of targets.
        config: of the system.
        turned: each turn with the support set turned by it.
    """

    encoder: Encoder
    config: ProtoSAMConfig
    turned: tuple[tuple[Turn, EncodedSupport], ...]

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
        """Take in a support set.

        Args:
            encoder: of support images and targets.
            config: of the system.
            images: (S,H,W,3).
            labels: (K,S,H,W,1).
            counts: (K,S), True where an entry counts for a class.
            anywhere: (K,), True for classes that may be anywhere in an image.
            encoded: the encoded images, not turned.
        """
        turned = []
        for turn in config.turns:
            features = encoded.features if turn == Turn() else encoder(_turn(images, turn), embedding=False).features
            own = _turn(labels.reshape(-1, *labels.shape[2:]), turn).reshape(labels.shape)[..., 0]
            counted = np.asarray(counts, bool)
            known = _known(features, own, counted, anywhere, alp=config.alp, linear=config.linear)
            turned.append((turn, known))
        return cls(encoder, config, tuple(turned))

    def logits(self, images: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Return coarse logits (K,B,H,W), float32, of images (B,H,W,3) and their encodings, which are not turned."""
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


@partial(jax.jit, static_argnames=("alp", "linear"))
def _known(
    features: Array, labels: Array, counts: Array, anywhere: Array, *, alp: ALPConfig, linear: LinearConfig | None
) -> EncodedSupport:
    support = (features, labels, counts, anywhere, alp)
    return EncodedSupport(prototypes(*support), None if linear is None else fit_linear(*support, linear))


@partial(jax.jit, static_argnames=("size", "alp", "linear"))
def _logits(
    features: Array, known: EncodedSupport, *, size: tuple[int, int], alp: ALPConfig, linear: LinearConfig | None
) -> Array:
    background, foreground = scores(features, known.prototypes, alp)
    logits = foreground - background
    if linear is not None:
        logits = logits + linear.weight * linear_scores(features, known.linear)
    classes, batch, height, width = logits.shape
    return resize_linear(logits.reshape(-1, height, width, 1), size).reshape(classes, batch, *size)


def _turn(maps: np.ndarray, turn: Turn) -> np.ndarray:
    """Mirror and rotate maps (N,H,W,C)."""
    maps = np.asarray(maps)
    maps = np.rot90(maps[:, :, ::-1] if turn.mirrored else maps, turn.quarters, axes=(1, 2))
    return _rotate(maps, turn.degrees)


def _turn_back(maps: np.ndarray, turn: Turn) -> np.ndarray:
    maps = np.rot90(_rotate(maps, -turn.degrees), -turn.quarters, axes=(1, 2))
    return maps[:, :, ::-1] if turn.mirrored else maps


def _rotate(maps: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate maps (N,H,W,C) counter-clockwise and keep their shape."""
    if degrees == 0:
        return maps
    # SciPy does not support bfloat16.
    turned = ndimage.rotate(maps.astype(np.float32), degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")
    return turned.astype(maps.dtype)
