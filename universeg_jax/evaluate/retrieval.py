"""Choosing the support for each target by similarity, and the simplest thing to do with it: copying a mask."""

from dataclasses import dataclass

import numpy as np

from universeg_jax.evaluate.data import Pool
from universeg_jax.evaluate.methods import InContext
from universeg_jax.typing import Array, Float

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

    def predict(self, rng: np.random.Generator, pool: Pool, support_size: int, targets: Array) -> np.ndarray:
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

    def predict(self, rng: np.random.Generator, pool: Pool, support_size: int, targets: Array) -> np.ndarray:
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
