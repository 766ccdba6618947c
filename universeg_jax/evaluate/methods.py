"""Ways to segment by examples. Whatever meets `Method` is measured by the same protocol."""

import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import jax
import numpy as np
from flax import nnx

from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Labelled, Pool
from universeg_jax.segment.diagnose import SegmentationWarning
from universeg_jax.segment.protocol import InContextModel
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.typing import Array, Float


class Method(Protocol):
    """A way to segment images of a task by a pool of labelled ones.

    Attributes:
        name: what tables and plots call it.
        identity: name, options and, where there are any, a digest of the model: what its numbers depend on.
    """

    name: str
    identity: str

    def predict(
        self, rng: np.random.Generator, pool: Pool, support_size: int, targets: Float[np.ndarray, "B H W 1"]
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

    def predict(self, rng: np.random.Generator, pool: Pool, support_size: int, targets: Array) -> np.ndarray:
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

    def predict(self, rng: np.random.Generator, pool: Pool, support_size: int, targets: Array) -> np.ndarray:
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
