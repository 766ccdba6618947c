"""Prepared images that were used last, by their content, so that a task with one more example prepares one image."""

import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import Literal

import numpy as np

from universeg_jax.segment.preprocess import View

CAPACITY = 2**26
"""Bytes of prepared images. They hold the views of 64 images for both models of an automatic segmenter."""


class RecentViews:
    """LRU cache of prepared images.

    Args:
        capacity: bytes of prepared images that it holds.
    """

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._known: OrderedDict[tuple, View] = OrderedDict()
        self._bytes = 0

    def of(
        self,
        image: np.ndarray,
        name: str,
        *,
        size: int,
        channels: int,
        window: tuple[float, float] | None,
        padding: Literal["zeros", "edge"],
    ) -> View:
        """Prepare an image (H,W) or (H,W,C), as `View.of` does, or return its view under a name."""
        content = hashlib.sha1(np.ascontiguousarray(image).tobytes()).digest()
        key = content, str(image.dtype), image.shape, size, channels, window, padding
        view = self._known.pop(key, None)
        if view is None:
            view = View.of(image, name, size=size, channels=channels, window=window, padding=padding)
            self._bytes += view.pixels.nbytes
        self._known[key] = view
        while self._bytes > self._capacity and self._known:
            self._bytes -= self._known.popitem(last=False)[1].pixels.nbytes
        return view if view.name == name else replace(view, name=name)
