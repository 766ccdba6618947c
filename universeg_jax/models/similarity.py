"""Similarity of images by their thumbnails."""

import numpy as np

from universeg_jax.shapes import Array, Bool, Float

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
