"""Segment the structure at a click or in a box with a SAM, without any example."""

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import numpy as np

from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.models.sam.model import SAM, logits_to_image, prompts_to_resized, resize_longest
from universeg_jax.weights import load


class Prompter:
    """Segment the structure at a click or in a box with a SAM, without any example.

    Args:
        workspace: the images.
        sam: the network; its embedding of the last image is kept.
    """

    def __init__(self, workspace: Workspace, sam: SAM):
        self.workspace, self.sam = workspace, sam
        self._encoded: tuple[str, np.ndarray] | None = None
        self._lock = threading.Lock()

    def segment(self, name: str, points: Sequence[tuple[int, int]], *, box: bool) -> np.ndarray:
        """Segment one structure.

        Args:
            name: the image.
            points: (x, y) in pixels of the image; each is on the structure, or they are two corners of a box.
            box: whether the points are the corners of a box.

        Returns:
            (H,W) bool mask.

        Raises:
            InputError: no point, or a box without two different corners.
        """
        corners = np.asarray(points, np.float32).reshape(-1, 2)
        if not len(corners):
            raise InputError("click into the structure first")
        image = self.workspace.picture(name)
        size, longest = image.shape[:2], self.sam.config.input_size
        with self._lock:
            if self._encoded is None or self._encoded[0] != name:
                resized = resize_longest(image[None].astype(np.float32) / 255, longest)
                self._encoded = name, self.sam.encode(np.clip(resized, 0, 1)).embedding
            embedding = self._encoded[1]
            if box:
                low, high = corners.min(axis=0), corners.max(axis=0)
                if len(corners) < 2 or (low == high).any():
                    raise InputError("click two opposite corners of a box around the structure")
                boxes = prompts_to_resized(np.concatenate([low, high])[None], size, longest)
                logits, scores = self.sam.decode(embedding, boxes=boxes)
                chosen = 0
            else:
                resized_points = prompts_to_resized(corners[None], size, longest)
                labels: np.ndarray = np.ones((1, len(corners)), np.int32)
                logits, scores = self.sam.decode(embedding, points=resized_points, point_labels=labels)
                chosen = 0 if len(corners) > 1 else 1 + int(np.argmax(np.asarray(scores)[0, 1:]))
        return np.asarray(logits_to_image(logits, size, longest))[0, chosen] > 0


def lazy_prompter(workspace: Workspace) -> Callable[[], Prompter]:
    """Return a function that loads LiteMedSAM when it is first called.

    The function raises InputError where the weights cannot be had.
    """

    @cache
    def prompter() -> Prompter:
        return Prompter(workspace, cast(SAM, load("lite-medsam")))

    return prompter
