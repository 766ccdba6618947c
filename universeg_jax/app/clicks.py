"""Clicks and boxes in the prompt picture: the structure there goes into the mask of the opened image."""

from collections.abc import Callable
from dataclasses import replace

import gradio as gr
import numpy as np

from universeg_jax.app import editor
from universeg_jax.app.image_list import ImageList
from universeg_jax.app.opened import Opened
from universeg_jax.app.paint import Style, draw_layer
from universeg_jax.app.prompter import Prompter
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError


class Clicks:
    """Handle clicks in the prompt picture.

    Args:
        workspace: the folder.
        images: the list of the page.
        prompter: returns the segmenter from clicks, loaded when first used; raises InputError where it cannot be had.
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
