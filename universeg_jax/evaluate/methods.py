"""Methods that segment from examples, for evaluation by one protocol."""

import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from universeg_jax.data.augment import Policy, augment_episode
from universeg_jax.data.augment.augment import Variation
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.evaluate.data import Labelled, SupportPool
from universeg_jax.models.in_context import THUMBNAIL, Blend, InContextModel, similarity
from universeg_jax.segment.plan import MOST_DRAWS
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.task import Task
from universeg_jax.shapes import Array, Float


class Method(Protocol):
    """Method that segments images of a task from a pool of labelled ones.

    Attributes:
        name: label in tables and plots.
        identity: name, options and a digest of the model, if any. Equal identities give equal results.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def predict(
        self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Float[np.ndarray, "B H W 1"]
    ) -> Float[np.ndarray, "B H W 1"]:
        """Return probabilities of the foreground.

        Args:
            rng: source of all randomness.
            pool: labelled examples in random order, so that the first ones are a random support set.
            support_size: number of examples that may be used at once.
            targets: images in [0,1].
        """
        ...


@dataclass(frozen=True, eq=False)
class InContext:
    """In-context model, or a blend of several, with the first examples of the pool as its support set."""

    model: InContextModel | Blend
    name: str

    @cached_property
    def identity(self) -> str:
        return f"{self.name}, model {digest(self.model)}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        return self.segment(pool.first(support_size), targets)

    def segment(self, support: Labelled, targets: Array, *, similar: int | None = None) -> np.ndarray:
        """Return probabilities (B,H,W,1) of targets from one support set, or from its entries most similar to each.

        Args:
            support: labelled examples.
            targets: images in [0,1].
            similar: number of most similar examples to use for each target; None uses all of them.
        """
        # Images are in [0,1] already. Scaling each by its own range would undo windows and augmentation.
        segmenter = Segmenter(self.model, window=(0, 1))
        labels = support.labels
        if np.isin(labels, (0, 1)).all():  # boolean labels may all be empty, numbers may not
            labels = labels > 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SegmentationWarning)  # the evaluation measures the quality itself
            task = cast(Task, segmenter.fit(support.images, labels))
            images = np.asarray(targets)
            if similar is None:
                probabilities = task.predict_proba(images)
            else:
                probabilities = task.predict_proba(images, support="similar", support_size=min(similar, len(labels)))
            return np.asarray(probabilities)[..., None]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Mean of the probabilities over several random support sets from the pool (UniverSeg, section 3.3).

    Args:
        base: method that gets each support set.
        draws: number of support sets. The first one is the set that `base` alone would use.

    Raises:
        InputError: fewer than two draws, or too many.
    """

    base: Method
    draws: int

    def __post_init__(self):
        if not 2 <= self.draws <= MOST_DRAWS:
            raise InputError(f"an ensemble of {self.draws}: pass 2 to {MOST_DRAWS} draws of the support")

    @property
    def name(self) -> str:
        return f"{self.base.name}, ensemble of {self.draws}"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, ensemble of {self.draws}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        drawn = [pool, *(pool.shuffled(rng) for _ in range(self.draws - 1))]
        return sum(self.base.predict(rng, one, support_size, targets) / self.draws for one in drawn)


def digest(model: object) -> str:
    """Hash the configurations and parameters of a model, including all networks of a system."""
    found = hashlib.sha256()
    for part in _parts(model):
        found.update(part)
    return found.hexdigest()[:12]


def _parts(model: object) -> Iterator[bytes]:
    """Yield configurations, parameters and plain options of a model, and of its attributes recursively."""
    # Functions, such as activations, are identified by name: their address differs between processes.
    yield re.sub(r" at 0x[0-9a-f]+", "", repr(getattr(model, "config", ""))).encode()
    if isinstance(model, nnx.Module):
        for path, leaf in jax.tree_util.tree_leaves_with_path(model):
            yield jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes()
    elif isinstance(model, bool | int | float | str):
        yield repr(model).encode()
    else:
        # Configurations hold no networks, and the members of their enums refer to each other without end.
        for name, part in getattr(model, "__dict__", {}).items():
            if name != "config":
                yield from _parts(part)


INTENSITIES_ONLY = Policy(
    in_task=Variation(brightness_contrast=0.25, contrast=(0.5, 1.5), blur=0.25, noise=0.25, sharpness=0.25),
    flip_intensities=0.5,
)
"""The paper's in-task augmentation of intensities, and their inversion. Neither masks nor predictions move."""


@dataclass(frozen=True, eq=False)
class TestTimeAugmentation:
    """Mean of the probabilities over several augmentations of targets and one support set.

    Args:
        base: the model.
        rounds: number of augmentations.
        policy: augmentation that leaves labels unchanged.
    """

    __test__ = False  # pytest would collect it by its name

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
        # Targets are augmented like support entries: each with its own draw.
        images = np.concatenate([targets, support.images])
        augmented = np.asarray(_augment(key, images, self.policy))
        changed = support._replace(images=augmented[len(targets) :])
        return self.base.segment(changed, augmented[: len(targets)])


@jax.jit
def _augment(key: Array, images: Array, policy: Policy) -> Array:
    labels = jnp.zeros_like(images)
    first, _, others, _ = augment_episode(key, images[0], labels[0], images[1:], labels[1:], policy=policy)
    return jnp.concatenate([first[None], others])


@dataclass(frozen=True, eq=False)
class Retrieval:
    """In-context model with the examples most similar to each target as the support set of that target."""

    base: InContext

    @property
    def name(self) -> str:
        return f"{self.base.name}, most similar support"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, most similar support by thumbnails of {THUMBNAIL}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        return self.base.segment(pool.first(len(pool)), targets, similar=support_size)


class NearestMask:
    """Mask of the example most similar to the target: the baseline of a method that ignores the target's pixels."""

    name = "nearest mask"
    identity = f"nearest mask by thumbnails of {THUMBNAIL}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        support = pool.first(support_size)
        return support.labels[similarity(targets, support.images).argmax(axis=1)]
