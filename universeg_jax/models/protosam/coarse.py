"""Coarse half of ProtoSAM: from encoded support images and labels to coarse logits of targets."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from scipy import ndimage

from universeg_jax.models.protosam.alp import Prototypes, prototypes, scores
from universeg_jax.models.protosam.config import ALPConfig, LinearConfig, ProtoSAMConfig, Turn
from universeg_jax.models.protosam.encoder import Encoded, EncoderLike, in_batches
from universeg_jax.models.protosam.linear import LinearClassifier, fit_linear, linear_scores
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array

SETS_KEPT = 32  # sets of entries whose prototypes are kept


class EncodedSupport(NamedTuple):
    """Prototypes and classifier of a support set; the classifier is None if the configuration has none."""

    prototypes: Prototypes
    linear: LinearClassifier | None


class CoarseTask:
    """Support set of a task, ready to give coarse logits of targets from any of its entries.

    Entries are encoded when they are first used.

    Args:
        encoder: of support images and targets.
        config: of the system.
        images: (S,H,W,3).
        labels: (K,S,H,W,1).
        counts: (K,S), True where an entry counts for a class.
        anywhere: (K,), True for classes that may be anywhere in an image.
    """

    def __init__(
        self,
        encoder: EncoderLike,
        config: ProtoSAMConfig,
        images: np.ndarray,
        labels: np.ndarray,
        counts: np.ndarray,
        *,
        anywhere: np.ndarray,
    ):
        self.encoder, self.config = encoder, config
        self._images, self._labels, self._counts, self._anywhere = images, labels, counts, anywhere
        self._features: dict[tuple[Turn, int], np.ndarray] = {}
        self._known: OrderedDict[tuple[int, ...], list[EncodedSupport]] = OrderedDict()

    def logits(self, images: np.ndarray, encoded: Encoded, entries: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Return coarse logits (K,B,H,W), float32.

        Args:
            images: B targets (B,H,W,3).
            encoded: the encoded targets, not turned.
            entries: of each target the support entries to use, at least one.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        for target, own in enumerate(entries):
            groups.setdefault(own, []).append(target)
        logits = np.zeros((len(self._labels), *images.shape[:3]), np.float32)
        for number, turn in enumerate(self.config.turns):
            features = encoded.features
            if turn != Turn():
                features = self.encoder(_turn(images, turn), embedding=False).features
            found = np.empty_like(logits)
            self._encoded(turn, tuple(sorted(set().union(*groups))))  # all at once, for few shapes
            for own, targets in groups.items():
                score = partial(self._score, self.known(own)[number], images.shape[1:3])
                # One shape for all groups, so that few of them compile.
                by_target = in_batches(score, (features[np.array(targets)],), len(images) if len(groups) == 1 else 1)
                found[:, targets] = np.moveaxis(np.asarray(by_target), 0, 1)
            logits += _turn_back(found.reshape(-1, *found.shape[2:], 1), turn).reshape(found.shape)
        return logits / len(self.config.turns)

    def known(self, entries: tuple[int, ...]) -> list[EncodedSupport]:
        """Return prototypes and classifier of some support entries, for each turn."""
        if entries in self._known:
            self._known.move_to_end(entries)
            return self._known[entries]
        chosen, known = np.array(entries), []
        for turn in self.config.turns:
            labels = self._labels[:, chosen]
            labels = _turn(labels.reshape(-1, *labels.shape[2:]), turn).reshape(labels.shape)[..., 0]
            features = self._encoded(turn, entries)
            options = dict(alp=self.config.alp, linear=self.config.linear)
            known.append(_known(features, labels, self._counts[:, chosen], self._anywhere, **options))
        self._known[entries] = known
        if len(self._known) > SETS_KEPT:
            self._known.popitem(last=False)
        return known

    def _encoded(self, turn: Turn, entries: tuple[int, ...]) -> np.ndarray:
        """Return the features (S,h,w,C) of turned support entries; each is encoded once."""
        new = [entry for entry in entries if (turn, entry) not in self._features]
        if new:
            features = self.encoder(_turn(self._images[np.array(new)], turn), embedding=False).features
            self._features |= {(turn, entry): features[i : i + 1] for i, entry in enumerate(new)}
        return np.concatenate([self._features[turn, entry] for entry in entries])

    def _score(self, known: EncodedSupport, size: tuple[int, int], features: Array) -> np.ndarray:
        """Return logits (B,K,H,W) of encoded targets."""
        logits = _logits(features, known, size=size, alp=self.config.alp, linear=self.config.linear)
        return np.moveaxis(np.asarray(logits), 0, 1)


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
    if linear is not None and known.linear is not None:
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
