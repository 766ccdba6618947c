"""Events of the page: calls of the workspace and the models, and what the components show afterwards."""

import html
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from universeg_jax.app import editor
from universeg_jax.app.export import export_zip
from universeg_jax.app.paint import Layer, Style, draw_layer, read_layer
from universeg_jax.app.propose import Prompter, Proposer
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError

PAGE = 24  # images in the list at once
EXAMPLES_SHOWN = 8
PROGRESS = gr.Progress()  # Gradio fills it in for each call
MARKS = {State.EMPTY: "○ empty", State.PROPOSED: "◐ proposed", State.EDITED: "◐ edited", State.CONFIRMED: "● confirmed"}
SHOW = {"All": None, "To do": (State.EMPTY, State.PROPOSED, State.EDITED), "Confirmed": (State.CONFIRMED,)}


@dataclass(frozen=True)
class Opened:
    """One image as it was opened in one tab.

    Attributes:
        name: the image; empty before the first was opened.
        token: the mask on disk that the editing began from.
        layer: what was drawn into the editor.
        proposed: (H,W) class values that the threshold gave; None where the image had a mask.
        points: (x, y) that were clicked in the prompt picture.
        chosen: the image that was clicked in the list, to be opened next.
    """

    name: str = ""
    token: str = ""
    layer: Layer | None = None
    proposed: np.ndarray | None = None
    points: tuple[tuple[int, int], ...] = ()
    chosen: str = ""


class Events:
    """Handle the events of one page.

    Methods take and return values of components, in the order that `page.build` lists them.

    Args:
        workspace: the folder.
        proposer: makes proposals from confirmed images.
        prompter: returns the segmenter from clicks, loaded when first used; raises InputError where it cannot be had.
    """

    def __init__(self, workspace: Workspace, proposer: Proposer, prompter: Callable[[], Prompter]):
        self.workspace, self.proposer, self._prompter = workspace, proposer, prompter

    # The list

    def list_images(self, show: str, sheet: float | None) -> tuple[Any, str, int]:
        wanted = SHOW[show]
        names = [name for name in self.workspace.order() if wanted is None or self.workspace.state(name) in wanted]
        last = max(1, -(-len(names) // PAGE))
        number = min(max(1, int(sheet or 1)), last)
        items = [
            (self.workspace.thumbnail(name), self._caption(name)) for name in names[(number - 1) * PAGE : number * PAGE]
        ]
        done = len(self.workspace.confirmed())
        text = f"**{done} of {len(self.workspace.names)} confirmed** · sheet {number} of {last}"
        return gr.update(value=items, selected_index=None), text, number

    def _caption(self, name: str) -> str:
        forecast = self.workspace.forecast(name)
        state = self.workspace.state(name)
        shown = "" if forecast is None or state is State.CONFIRMED else f" · Dice ~{forecast:.2f}"
        return f"{name}\n{MARKS[state]}{shown}"

    def leave_for(self, opened: Opened, value: dict | None, event: gr.SelectData) -> Opened:
        """Save what was painted, and remember which image of the list was clicked."""
        return replace(self.leave(opened, value), chosen=event.value["caption"].split("\n")[0])

    def open_chosen(self, opened: Opened, *drawing) -> tuple:
        return self._open(opened.chosen, *drawing)

    def open_next(self, opened: Opened, *drawing) -> tuple:
        name = self.workspace.next_to_look_at()
        if name is None:
            gr.Info("All images are confirmed.")
            name = opened.name or self.workspace.names[0]
        return self._open(name, *drawing)

    # One image

    def first_picture(self) -> np.ndarray:
        """Return the picture (H,W,3) that the page opens with."""
        return self.workspace.picture(self.workspace.order()[0])

    def _open(self, name: str, threshold: float, opacity: float, style: str) -> tuple:
        """Show an image with its mask, or with its proposal where it has no mask."""
        workspace = self.workspace
        mask, proposal = workspace.mask(name), workspace.proposal(name)
        proposed = None
        if mask is None and proposal is not None:
            proposed = mask = proposal.mask(threshold, tuple(workspace.classes))
        picture = workspace.picture(name)
        values = np.zeros(picture.shape[:2], np.int32) if mask is None else mask
        layer = draw_layer(values, workspace.colours, opacity=opacity, style=Style(style))
        opened = Opened(name, workspace.token(name), layer, proposed)
        return (
            opened,
            editor.background(picture, self.workspace.colours, opacity),
            self._state_line(name),
            self._about(proposal),
            [(workspace.thumbnail(n), n) for n in (proposal.examples if proposal else ())[:EXAMPLES_SHOWN]],
            editor.heat_map(None if proposal is None else proposal.spread),
            picture,
        )

    def draw(self, opened: Opened, opacity: float):
        """Draw the mask of an opened image. Gradio places a layer rightly only once its background is there."""
        return editor.with_layer(self.workspace.picture(opened.name), opened.layer) if opened.name else gr.skip()

    def _painted(self, opened: Opened, value: dict | None) -> np.ndarray | None:
        """Read the class values that the editor shows; None while it does not show the opened image."""
        if opened.layer is None or not value or not value.get("layers"):
            return None
        painted = np.asarray(value["layers"][0])
        return read_layer(painted, opened.layer, self.workspace.colours) if opened.layer.is_shown(painted) else None

    def leave(self, opened: Opened, value: dict | None) -> Opened:
        """Save what was painted on an image before another one is opened."""
        values = self._painted(opened, value)
        if values is None or np.array_equal(values, opened.layer.values):
            return opened
        state = self.workspace.state(opened.name)
        try:
            token = self.workspace.save(opened.name, values, seen=opened.token, confirm=state is State.CONFIRMED)
        except InputError as error:
            gr.Warning(str(error))
            return opened
        return replace(opened, token=token)

    def save(self, opened: Opened, value: dict | None, *drawing, confirm: bool = False) -> tuple:
        values = self._painted(opened, value)
        if values is None:
            raise gr.Error("The image is still being drawn. Wait a second, then try again.")
        try:
            self.workspace.save(opened.name, values, seen=opened.token, confirm=confirm)
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._open(opened.name, *drawing)

    def confirm(self, opened: Opened, value: dict | None, *drawing) -> tuple:
        return self.save(opened, value, *drawing, confirm=True)

    def propose(self, opened: Opened, value: dict | None, ensemble: float, *drawing) -> tuple:
        if not opened.name:
            raise gr.Error("Open an image first.")
        if self.workspace.state(opened.name) is State.CONFIRMED:
            raise gr.Error("This image is confirmed: it is an example itself.")
        opened = self.leave(opened, value)
        try:
            for _ in self.proposer.propose([opened.name], ensemble=int(ensemble)):
                pass
        except InputError as error:
            raise gr.Error(str(error)) from None
        for warning in self.proposer.warnings:
            gr.Warning(warning)
        return self._open(opened.name, *drawing)

    def propose_all(self, show: str, sheet: float, ensemble: float, progress=PROGRESS) -> Iterator[tuple]:
        names = [name for name in self.workspace.order() if self.workspace.state(name) is not State.CONFIRMED]
        try:
            for number, name in enumerate(self.proposer.propose(names, ensemble=int(ensemble)), start=1):
                progress((number, len(names)), desc=f"proposed {name}")
                if number % PAGE == 0:
                    yield self.list_images(show, sheet)
        except InputError as error:
            raise gr.Error(str(error)) from None
        for warning in self.proposer.warnings:
            gr.Warning(warning)
        yield self.list_images(show, 1)

    def redraw(self, opened: Opened, value: dict | None, threshold: float, opacity: float, style: str) -> tuple:
        """Draw the mask anew. A new threshold changes a proposal, but no pixel that was painted."""
        values = self._painted(opened, value)
        if values is None:
            return opened, gr.skip()
        proposal, proposed = self.workspace.proposal(opened.name), opened.proposed
        if proposed is not None and proposal is not None:
            new = proposal.mask(threshold, tuple(self.workspace.classes))
            values = np.where(values == proposed, new, values)
            proposed = new
        layer = draw_layer(values, self.workspace.colours, opacity=opacity, style=Style(style))
        shown = editor.with_layer(self.workspace.picture(opened.name), layer)
        brush = editor.brush(self.workspace.colours, opacity)
        return replace(opened, layer=layer, proposed=proposed), {**shown, "brush": brush}

    # Clicks

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
        """Add the structure at a click, or in a box of two clicks, to the mask of the opened image."""
        if not opened.name:
            raise gr.Error("Open an image first.")
        points, box = (*opened.points, tuple(event.index)), kind == "Box"
        picture = self.workspace.picture(opened.name)
        marked = editor.with_points(picture, points)
        if box and len(points) < 2:
            gr.Info("Now click the opposite corner.")
            return replace(opened, points=points), *[gr.skip()] * 5, marked
        values = self._painted(opened, value)
        try:
            found = self._prompter().segment(opened.name, points, box=box)
            values = np.where(found, int(value_of_class), opened.layer.values if values is None else values)
            token = self.workspace.save(opened.name, values, seen=opened.token, confirm=False)
        except InputError as error:
            raise gr.Error(str(error)) from None
        layer = draw_layer(values, self.workspace.colours, opacity=opacity, style=Style(style))
        opened = replace(opened, layer=layer, token=token, proposed=None, points=() if box else points)
        return (
            opened,
            editor.background(picture, self.workspace.colours, opacity),
            self._state_line(opened.name),
            *[gr.skip()] * 3,
            marked,
        )

    def forget_clicks(self, opened: Opened) -> tuple:
        picture = self.workspace.picture(opened.name) if opened.name else None
        return replace(opened, points=()), picture

    # Classes

    def class_rows(self) -> list[list]:
        return [[value, name] for value, name in self.workspace.classes.items()]

    def class_choices(self) -> list[tuple[str, int]]:
        return [(name, value) for value, name in self.workspace.classes.items()]

    def first_class(self) -> int:
        return next(iter(self.workspace.classes))

    def legend(self) -> str:
        colours = self.workspace.colours
        return "<br>".join(
            f'<span style="color:{colours[value]}">■</span> {html.escape(name)}'
            for value, name in self.workspace.classes.items()
        )

    def rename(self, rows) -> tuple:
        try:
            for value, name in rows.values.tolist():
                self.workspace.name_class(int(value), str(name))
        except (InputError, ValueError) as error:
            raise gr.Error(str(error)) from None
        return self._classes_shown()

    def add_class(self) -> tuple:
        try:
            self.workspace.add_class()
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._classes_shown()

    def _classes_shown(self) -> tuple:
        brush = gr.update(brush=editor.brush(self.workspace.colours, 0.5))
        return self.class_rows(), self.legend(), gr.update(choices=self.class_choices()), brush

    def export(self):
        """Pack the saved masks, class names, states and an overview into one zip file."""
        try:
            file = export_zip(self.workspace, Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))))
        except InputError as error:
            raise gr.Error(str(error)) from None
        return gr.update(value=str(file), visible=True)

    # Lines of text

    def _state_line(self, name: str) -> str:
        return f"**{name}** · {MARKS[self.workspace.state(name)]}"

    def _about(self, proposal) -> str:
        if proposal is None:
            return "No proposal yet. Confirm one image, then press Propose."
        return f"Expected Dice **{proposal.forecast:.2f}**, {proposal.note}"
