"""In-context models: their interface, blends of several models, and the most similar examples of a target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Bool, Float


class Predictor(Protocol):
    """A function that segments targets by the support set it was made from."""

    def __call__(self, targets: Array, regions: Array | None = None, weights: Array | None = None) -> Array:
        """Compute the logits of targets.

        Args:
            targets: images (B,H,W,C) in [0,1].
            regions: (B,4), the part of each square that its image fills: top, left, bottom and right in pixels,
                bottom and right excluded. None stands for the whole square. A model may ignore it.
            weights: (B,S), how much each support entry counts for each target, at least 0. They multiply the mask
                of the support set, so an entry with weight 0 changes nothing. None counts every entry once.

        Returns:
            Logits (K,B,H,W,1), one map for each class of the support set.
        """
        ...


@runtime_checkable
class InContextModel(Protocol):
    """A model that learns a segmentation task from its support set alone.

    Attributes:
        input_size: side in pixels of the square images it takes.
        input_channels: 1 for grey images, 3 for colour.
        padding: values that fill an image up to a square: zeros, or copies of the image's edges.
    """

    input_size: int
    input_channels: int
    padding: Literal["zeros", "edge"]

    def prepare(self, images: Array, labels: Array, mask: Array) -> Predictor:
        """Take in a support set and return the predictor of its task.

        Args:
            images: support images (S,H,W,C), float32 in [0,1].
            labels: one label map per class (K,S,H,W,1), float32 in [0,1]; K is 1, the foreground, in a
                binary task.
            mask: (K,S), True where an entry counts for a class; other entries change nothing. At least one counts for
                each class.

        The shapes come from a small set of sizes, so a model may compile for each. Callers that draw several support
        sets hold several predictors at once.
        """
        ...


Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Blend:
    """In-context models and the weights of their probabilities, which depend on the number of examples.

    Attributes:
        models: two or more models (`InContextModel`). Input sizes and channels may differ.
        weights: positive sums of one weight for each model, by the smallest number of examples that they apply to.
            The key 1 is required. Empty stands for equal weights.

    Raises:
        InputError: for weights that do not fit the models, or cannot be normalised.
    """

    models: tuple[Any, ...]
    weights: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self):
        if not self.models:
            raise InputError("a blend of no models: pass at least one model")
        if self.weights and 1 not in self.weights:
            raise InputError(f"weights for {sorted(self.weights)} examples: give weights for 1 example as well")
        for examples, given in self.weights.items():
            if len(given) != len(self.models):
                raise InputError(
                    f"{len(given)} weights for {examples} examples but {len(self.models)} models: give one weight each"
                )
            if min(given) < 0 or not 0 < sum(given) < float("inf"):
                raise InputError(f"weights {tuple(given)}: pass finite weights of at least 0, not all of them 0")

    def weights_for(self, examples: int) -> Weights:
        """Return the weights for a number of examples, 1 or more. They sum to 1."""
        if not self.weights:
            return (1 / len(self.models),) * len(self.models)
        given = self.weights[max(number for number in self.weights if number <= examples)]
        return tuple(weight / sum(given) for weight in given)


THUMBNAIL = 16  # side in pixels; coarse, so that slightly shifted images are similar


def similarity(images: Float[Array, "N H W C"], others: Float[Array, "M H W C"]) -> Float[np.ndarray, "N M"]:
    """Return correlations of thumbnails, from -1 to 1; 0 for constant images."""
    return _thumbnails(images) @ _thumbnails(others).T


def nearest_entries(
    similarities: Float[np.ndarray, "N S"], shown: Bool[np.ndarray, "K S"], size: int
) -> Bool[np.ndarray, "N S"]:
    """Choose the `size` most similar support entries of each target, and more if these do not show every class.

    For each class that the chosen entries do not show, the most similar entry that shows it is added.

    Args:
        similarities: between targets and support entries. Entries at minus infinity are never chosen.
        shown: True where an entry shows a class.
        size: entries for each target.
    """
    order = np.argsort(-similarities, axis=1, kind="stable")
    chosen = np.zeros(similarities.shape, bool)
    np.put_along_axis(chosen, order[:, :size], True, axis=1)
    chosen &= ~np.isneginf(similarities)
    if len(shown) > 1:
        for target, ranked in enumerate(order):
            ranked = ranked[~np.isneginf(similarities[target, ranked])]
            for shows in shown:
                able = ranked[shows[ranked]]
                if len(able) and not (chosen[target] & shows).any():
                    chosen[target, able[0]] = True
    return chosen


def _thumbnails(images: Array) -> np.ndarray:
    """Make thumbnails (N,pixels) with mean 0 and length 1."""
    grey = np.asarray(images, np.float32).mean(axis=-1)
    number, height, width = grey.shape
    rows, columns = (-(-size // THUMBNAIL) for size in (height, width))
    padded = np.pad(grey, ((0, 0), (0, -height % rows), (0, -width % columns)), mode="edge")
    blocks = padded.reshape(number, -1, rows, padded.shape[2] // columns, columns).mean(axis=(2, 4)).reshape(number, -1)
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
