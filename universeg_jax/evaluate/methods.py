"""Ways to segment from examples. Whatever implements `Method` is measured by the same protocol."""

import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from universeg_jax.data.augment import Policy, augment_episode
from universeg_jax.data.augment.augment import Variation
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.evaluate.data import Labelled, SupportPool
from universeg_jax.segment.model import InContextModel
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.shapes import Array, Float


class Method(Protocol):
    """A way to segment images of a task by a pool of labelled ones.

    Attributes:
        name: what tables and plots call it.
        identity: name, options and, where there are any, a digest of the model: what its numbers depend on.
    """

    name: str
    identity: str

    def predict(
        self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Float[np.ndarray, "B H W 1"]
    ) -> Float[np.ndarray, "B H W 1"]:
        """Probabilities of the foreground.

        Args:
            rng: for whatever is random.
            pool: in random order, so that its first examples are a random support set.
            support_size: examples that may be looked at at once.
        """
        ...


@dataclass(frozen=True, eq=False)
class InContext:
    """A model that is shown the first examples of the pool: UniverSeg, or any other `InContextModel`."""

    model: InContextModel
    name: str

    @cached_property
    def identity(self) -> str:
        return f"{self.name}, model {digest(self.model)}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        return self.segment(pool.first(support_size), targets)

    def segment(self, support: Labelled, targets: Array) -> np.ndarray:
        """Probabilities (B,H,W,1) of targets by one support set."""
        # The images are in [0,1] already; scaling each by its own range would undo windows and augmentation.
        segmenter = Segmenter(self.model, window=(0, 1))
        labels = support.labels
        if np.isin(labels, (0, 1)).all():  # as booleans these may be empty, all of them
            labels = labels > 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SegmentationWarning)  # it is measured here how good the result is
            return segmenter.fit(support.images, labels).predict_proba(np.asarray(targets))[..., None]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The mean of the probabilities by several random support sets from the pool (UniverSeg, section 3.3).

    Args:
        base: what is given each of the support sets.
        draws: their number. The first is the one that `base` alone is given.

    Raises:
        InputError: fewer than two draws.
    """

    base: Method
    draws: int

    def __post_init__(self):
        if self.draws < 2:
            raise InputError(f"an ensemble of {self.draws}: pass 2 draws of the support or more")

    @property
    def name(self) -> str:
        return f"{self.base.name}, ensemble of {self.draws}"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, ensemble of {self.draws}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        drawn = [pool, *(pool.shuffled(rng) for _ in range(self.draws - 1))]
        return np.mean([self.base.predict(rng, one, support_size, targets) for one in drawn], axis=0)


def digest(model: InContextModel) -> str:
    """A short hash of what a model's numbers depend on, of a system of several networks that of all of them."""
    found = hashlib.sha256()
    for part in _parts(model):
        found.update(part)
    return found.hexdigest()[:12]


def _parts(model: object) -> Iterator[bytes]:
    """Configurations, parameters and plain options, of a model's attributes or theirs."""
    # Functions, such as activations, by their name: where they lie in memory is another place in every process.
    yield re.sub(r" at 0x[0-9a-f]+", "", repr(getattr(model, "config", ""))).encode()
    if isinstance(model, nnx.Module):
        for path, leaf in jax.tree_util.tree_leaves_with_path(model):
            yield jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes()
    elif isinstance(model, bool | int | float | str):
        yield repr(model).encode()
    else:
        # Configurations hold no networks, and choices in them refer to each other without end.
        for name, part in getattr(model, "__dict__", {}).items():
            if name != "config":
                yield from _parts(part)


INTENSITIES_ONLY = Policy(
    in_task=Variation(brightness_contrast=0.25, contrast=(0.5, 1.5), blur=0.25, noise=0.25, sharpness=0.25),
    flip_intensities=0.5,
)
"""The paper's in-task augmentation of intensities, and the inversion of all of them. Masks stay where they are, so
predictions need not be moved back."""


@dataclass(frozen=True, eq=False)
class TestTimeAugmentation:
    """The mean of the probabilities with targets and support augmented in several ways; the support is always the same.

    Args:
        base: the model.
        rounds: number of ways.
        policy: of the augmentation, which must leave labels alone.
    """

    __test__ = False  # its name makes pytest take it for a test

    base: InContext
    rounds: int
    policy: Policy = INTENSITIES_ONLY

    @property
    def name(self) -> str:
        return f"{self.base.name}, {self.rounds} augmentations"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, {self.rounds} augmentations by {self.policy}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        support = pool.first(support_size)
        keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), self.rounds)
        return np.mean([self._one(key, support, targets) for key in keys], axis=0)

    def _one(self, key: Array, support: Labelled, targets: Array) -> np.ndarray:
        # To augmentation, targets are entries as those of the support are: each has a draw of its own.
        images = np.concatenate([targets, support.images])
        augmented = np.asarray(_augment(key, images, self.policy))
        changed = support._replace(images=augmented[len(targets) :])
        return self.base.segment(changed, augmented[: len(targets)])


@jax.jit
def _augment(key: Array, images: Array, policy: Policy) -> Array:
    labels = jnp.zeros_like(images)
    first, _, others, _ = augment_episode(key, images[0], labels[0], images[1:], labels[1:], policy=policy)
    return jnp.concatenate([first[None], others])


THUMBNAIL = 16  # pixels; coarse, so that images count as similar that are a little shifted


def similarity(images: Float[Array, "N H W 1"], others: Float[Array, "M H W 1"]) -> np.ndarray:
    """(N,M): the correlation of the pixels of thumbnails, from -1 to 1. Constant images are similar to none."""
    return _normalised(images) @ _normalised(others).T


@dataclass(frozen=True, eq=False)
class Retrieval:
    """A model that is shown, for each target, those examples of the pool that are most similar to it.

    Every target has a support set of its own, so that nothing is shared between targets.
    """

    base: InContext

    @property
    def name(self) -> str:
        return f"{self.base.name}, most similar support"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, most similar support by thumbnails of {THUMBNAIL}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        order = np.argsort(-similarity(targets, pool.first(len(pool)).images), axis=1, kind="stable")
        chosen = order[:, :support_size]
        probabilities = [
            self.base.segment(pool.take(own), target[None]) for target, own in zip(targets, chosen, strict=True)
        ]
        return np.concatenate(probabilities)


class NearestMask:
    """The mask of the example that is most similar to the target: what a method must beat to have looked at it."""

    name = "nearest mask"
    identity = f"nearest mask by thumbnails of {THUMBNAIL}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        support = pool.first(support_size)
        return support.labels[similarity(targets, support.images).argmax(axis=1)]


def _normalised(images: Array) -> np.ndarray:
    """Thumbnails (N,pixels) with mean 0 and length 1."""
    number, height, width, _ = images.shape
    rows, columns = (-(-size // THUMBNAIL) for size in (height, width))
    padded = np.pad(images[..., 0], ((0, 0), (0, -height % rows), (0, -width % columns)), mode="edge")
    blocks = padded.reshape(number, -1, rows, padded.shape[2] // columns, columns).mean(axis=(2, 4)).reshape(number, -1)
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
