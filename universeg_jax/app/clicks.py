"""Clicks and boxes in the prompt picture: a SAM segments the structure there, without any example.

`Prompter` computes the mask, `Clicks` puts it into the mask of the opened image.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import cast

import gradio as gr
import numpy as np
from scipy import ndimage

from universeg_jax.app import editor
from universeg_jax.app.editor import Opened
from universeg_jax.app.image_list import ImageList
from universeg_jax.app.pictures import Style, draw_layer
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.models.sam.model import SAM, logits_to_image, prompts_to_resized, resize_longest
from universeg_jax.weights import load

SIDES = (0.08, 0.12, 0.18, 0.27, 0.4, 0.6, 0.85)
"""Sides of the boxes that are tried around a click, as parts of the longer side of the image."""


class Prompter:
    """Segment the structure at a click or in a box with a SAM, without any example.

    LiteMedSAM learned from boxes alone: from a click it finds next to nothing. So boxes of several sizes are tried
    around a click. The mask that the network trusts most is kept.

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
            InputError: no point, a box without two different corners, or no structure there.
        """
        corners: np.ndarray = np.asarray(points, np.int64).reshape(-1, 2)
        if not len(corners):
            raise InputError("click into the structure first")
        low, high = corners.min(axis=0), corners.max(axis=0)
        if box and (len(corners) < 2 or (low == high).any()):
            raise InputError("click two opposite corners of a box around the structure")
        image = self.workspace.picture(name)
        with self._lock:
            if self._encoded is None or self._encoded[0] != name:
                resized = resize_longest(image[None].astype(np.float32) / 255, self.sam.config.input_size)
                self._encoded = name, self.sam.encode(np.clip(resized, 0, 1)).embedding
            found = self._in_box(low, high, image.shape[:2])[0] > 0 if box else self._at(corners, image.shape[:2])
        if not found.any():
            place = "in this box" if box else "at this click"
            raise InputError(f"nothing was found {place}: choose Box, and click two corners close to the structure")
        return found

    def _at(self, clicks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return the mask (H,W) that holds most clicks (N,2); among equals, score times stability decides."""
        best, found = (0, 0.0), cast(np.ndarray, np.zeros(size, bool))
        for side in SIDES:
            reach = side * max(size) / 2
            logits, score = self._in_box(clicks.min(axis=0) - reach, clicks.max(axis=0) + reach, size)
            parts, _ = ndimage.label(logits > 0)
            hit = parts[clicks[:, 1], clicks[:, 0]]
            stability = (logits > 1).sum() / max(1, (logits > -1).sum())
            rank = int((hit > 0).sum()), score * float(stability)
            if rank > best:
                best, found = rank, np.isin(parts, hit[hit > 0])
        return found

    def _in_box(self, low: np.ndarray, high: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
        """Return logits (H,W) in the opened image, and the score, for a box between two corners (x, y)."""
        assert self._encoded is not None
        longest = self.sam.config.input_size
        box = np.clip(np.concatenate([low, high]), 0, (*size[::-1], *size[::-1])).astype(np.float32)
        logits, scores = self.sam.decode(self._encoded[1], boxes=prompts_to_resized(box[None], size, longest))
        return np.asarray(logits_to_image(logits, size, longest))[0, 0], float(np.asarray(scores)[0, 0])


def lazy_prompter(workspace: Workspace) -> Callable[[], Prompter]:
    """Return a function that loads LiteMedSAM when it is first called.

    The function raises InputError if the weights cannot be loaded.
    """

    @cache
    def prompter() -> Prompter:
        return Prompter(workspace, cast(SAM, load("lite-medsam")))

    return prompter


class Clicks:
    """Handle clicks in the prompt picture.

    Args:
        workspace: the folder.
        images: the list of the page.
        prompter: returns the segmenter from clicks, loaded when first used; raises InputError if its weights cannot be
            loaded.
    """

    def __init__(self, workspace: Workspace, images: ImageList, prompter: Callable[[], Prompter]):
        self.workspace, self.list, self._prompter = workspace, images, prompter

    def clicked(
        self,
        opened: Opened,
        value: dict | None,
        kind: str,
        value_of_class: int,
        threshold: float,
        opacity: float,
        style: str,
        event: gr.SelectData,
    ) -> tuple:
        """Put the structure at the clicks, or in a box of two clicks, into the mask of the opened image."""
        if not opened.name or opened.layer is None:
            raise gr.Error("Open an image first.")
        picture = self.workspace.picture(opened.name)
        times = editor.magnification(picture)
        x, y = (int(place) // times for place in event.index)
        points, box = (*opened.points, (x, y)), kind == "Box"
        marked = editor.with_points(picture, points)
        skipped = gr.skip()
        if box and len(points) < 2:
            gr.Info("Now click the opposite corner.")
            return replace(opened, points=points), *[skipped] * 6, marked, skipped
        painted = opened.painted(value, self.workspace.colours)
        values = opened.layer.values if painted is None else painted
        # A further click replaces the structure of the clicks before, unless the mask was painted in between.
        again = opened.before_points is not None and np.array_equal(values, opened.layer.values)
        before = opened.before_points if again else values
        try:
            found = self._prompter().segment(opened.name, points, box=box)
            values = np.where(found, int(value_of_class), before)
            token = self.workspace.save(opened.name, values, seen=opened.token, confirm=False)
        except InputError as error:
            raise gr.Error(str(error)) from None
        layer = draw_layer(values, self.workspace.colours, opacity=opacity, style=Style(style))
        kept = {"points": (), "before_points": None} if box else {"points": points, "before_points": before}
        opened = replace(opened, layer=layer, token=token, unsaved=False, proposed=None, **kept)
        shown = editor.background(picture, self.workspace.colours, opacity)
        return opened, shown, self.list.state_line(opened.name), *[skipped] * 4, marked, skipped

    def forget(self, opened: Opened) -> tuple:
        picture = self.workspace.picture(opened.name) if opened.name else None
        shown = None if picture is None else editor.with_points(picture)
        return replace(opened, points=(), before_points=None), shown
