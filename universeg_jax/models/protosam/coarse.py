"""Coarse half of ProtoSAM: from encoded support images and labels to coarse logits of targets."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import ndimage

from universeg_jax import backend
from universeg_jax.models.protosam.alp import Prototypes, prototypes, scores
from universeg_jax.models.protosam.config import ALPConfig, LinearConfig, ProtoSAMConfig, Turn
from universeg_jax.models.protosam.encoder import Encoded, EncoderLike, image_digest, in_batches
from universeg_jax.models.protosam.linear import LinearClassifier, fit_linear, linear_scores
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array

SETS_KEPT = 8  # sets of entries whose prototypes are kept, and likewise classifiers: 2.5 MB an entry with LiteMedSAM
TARGETS_KEPT = 16  # targets whose logits are kept, for another configuration of the decoder
FITTED = 16  # entries that a classifier is fitted to, evenly spaced among those that a target may use


class Entries(NamedTuple):
    """Support entries of a target, at least one of each.

    Attributes:
        compared: entries whose prototypes the target is compared with.
        allowed: entries that the target may use. The classifier is fitted to them.
    """

    compared: tuple[int, ...]
    allowed: tuple[int, ...]


class Latest:
    """Latest results of a computation, by a key.

    Args:
        size: results that are kept.
    """

    def __init__(self, size: int):
        self._size = size
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """Return a result; None if it is not kept."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def put(self, key: Hashable, result: Any) -> Any:
        """Keep a result, and return it."""
        self._known[key] = result
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return result


class CoarseTask:
    """Support set of a task, ready to give coarse logits of targets from any of its entries.

    Entries are encoded when they are first used.

    Args:
        encoder: encoder of support images and targets.
        config: configuration of the system.
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
        self._prototypes, self._classifiers, self._found = Latest(SETS_KEPT), Latest(SETS_KEPT), Latest(TARGETS_KEPT)

    def logits(self, images: np.ndarray, encoded: Encoded, entries: Sequence[Entries]) -> np.ndarray:
        """Return coarse logits (K,B,H,W), float32.

        Args:
            images: B targets (B,H,W,3).
            encoded: the encoded targets, not turned.
            entries: entries of each target.
        """
        keys = [(image_digest(image), own) for image, own in zip(images, entries, strict=True)]
        found = {key: self._found.get(key) for key in keys}
        new = [i for i, key in enumerate(keys) if found[key] is None]
        if new:
            maps = self._computed(images[np.array(new)], encoded.features[np.array(new)], [entries[i] for i in new])
            found |= {keys[i]: self._found.put(keys[i], maps[:, number]) for number, i in enumerate(new)}
        return np.stack([found[key] for key in keys], axis=1)

    def _computed(self, images: np.ndarray, features: Array, entries: Sequence[Entries]) -> np.ndarray:
        """Compute coarse logits (K,B,H,W) of targets."""
        groups: dict[Entries, list[int]] = {}
        for target, own in enumerate(entries):
            groups.setdefault(own, []).append(target)
        logits = np.zeros((len(self._labels), *images.shape[:3]), np.float32)
        for number, turn in enumerate(self.config.turns):
            if turn != Turn():
                features = self.encoder(_turn(images, turn), embedding=False).features
            found = np.empty_like(logits)
            used = {entry for own in groups for entry in (*own.compared, *_spread(own.allowed))}
            self._encode(turn, sorted(used))  # all at once, for few shapes
            for own, targets in groups.items():
                linear = self.classifiers(_spread(own.allowed))[number]
                score = partial(self._score, self.prototypes(own.compared)[number], linear, images.shape[1:3])
                # One shape for all groups, so that few of them compile.
                by_target = in_batches(score, (features[np.array(targets)],), len(images) if len(groups) == 1 else 1)
                found[:, targets] = np.moveaxis(np.asarray(by_target), 0, 1)
            logits += _turn_back(found.reshape(-1, *found.shape[2:], 1), turn).reshape(found.shape)
        return logits / len(self.config.turns)

    def prototypes(self, entries: tuple[int, ...]) -> list[Prototypes]:
        """Return the prototypes of some support entries, for each turn."""
        found = self._prototypes.get(entries)
        if found is None:
            found = [prototypes_of(*self._support(turn, entries), self.config.alp) for turn in self.config.turns]
        return self._prototypes.put(entries, found)

    def classifiers(self, entries: tuple[int, ...]) -> list[LinearClassifier | None]:
        """Return the classifier of some support entries, for each turn; None if the configuration has none."""
        alp, linear, turns = self.config.alp, self.config.linear, self.config.turns
        if linear is None:
            return [None] * len(turns)
        found = self._classifiers.get(entries)
        if found is None:
            factor = 1 + (len(entries) - 1) / (FITTED - 1)
            fitted = [classifier_of(*self._support(turn, entries), alp, linear) for turn in turns]
            found = [replace(one, weights=factor * one.weights) for one in fitted]
        return self._classifiers.put(entries, found)

    def _support(self, turn: Turn, entries: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
        """Return features, labels and counts of some entries, and which classes may be anywhere."""
        chosen = np.array(entries)
        labels = self._labels[:, chosen]
        labels = _turn(labels.reshape(-1, *labels.shape[2:]), turn).reshape(labels.shape)[..., 0]
        return self._encoded(turn, entries), labels, self._counts[:, chosen], self._anywhere

    def _encoded(self, turn: Turn, entries: tuple[int, ...]) -> np.ndarray:
        """Return the features (S,h,w,C) of turned support entries."""
        self._encode(turn, entries)
        return np.concatenate([self._features[turn, entry] for entry in entries])

    def _encode(self, turn: Turn, entries: Sequence[int]) -> None:
        """Encode turned support entries; each is encoded once."""
        new = [entry for entry in entries if (turn, entry) not in self._features]
        at_once = backend.encoded_at_once()  # no array of all entries: it would take as much memory again
        for start in range(0, len(new), at_once):
            some = new[start : start + at_once]
            features = self.encoder(_turn(self._images[np.array(some)], turn), embedding=False).features
            self._features |= {(turn, entry): features[i : i + 1] for i, entry in enumerate(some)}

    def _score(
        self, known: Prototypes, classifier: LinearClassifier | None, size: tuple[int, int], features: Array
    ) -> np.ndarray:
        """Return logits (B,K,H,W) of encoded targets."""
        logits = _logits(features, known, classifier, size=size, alp=self.config.alp, linear=self.config.linear)
        return np.moveaxis(np.asarray(logits), 0, 1)


prototypes_of = jax.jit(prototypes, static_argnums=4)
classifier_of = jax.jit(fit_linear, static_argnums=(4, 5))


@partial(jax.jit, static_argnames=("size", "alp", "linear"))
def _logits(
    features: Array,
    known: Prototypes,
    classifier: LinearClassifier | None,
    *,
    size: tuple[int, int],
    alp: ALPConfig,
    linear: LinearConfig | None,
) -> Array:
    background, foreground = scores(features, known, alp)
    logits = foreground - background
    if linear is not None and classifier is not None:
        logits = logits + linear.weight * linear_scores(features, classifier)
    classes, batch, height, width = logits.shape
    return resize_linear(logits.reshape(-1, height, width, 1), size).reshape(classes, batch, *size)


def _spread(entries: tuple[int, ...]) -> tuple[int, ...]:
    """Return at most FITTED entries, evenly spaced."""
    number = len(entries)
    return tuple(entries[i] for i in np.unique(np.linspace(0, number - 1, min(number, FITTED)).round().astype(int)))


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
