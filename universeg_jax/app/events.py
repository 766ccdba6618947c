"""Events of the page: calls of the workspace and the models, and what the components show afterwards."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from universeg_jax.app import editor
from universeg_jax.app.clicks import Clicks, Prompter
from universeg_jax.app.editor import Opened, origin_of
from universeg_jax.app.export import export_zip
from universeg_jax.app.image_list import ImageList
from universeg_jax.app.pictures import Style, draw_layer
from universeg_jax.app.propose import Proposer
from universeg_jax.app.states import LABELLED, State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError

OFTEN = 8  # proposals between two looks at the list
LOOK_AGAIN = 2.0  # seconds between two looks whether a proposal was made anew
PAUSE = 0.2  # seconds between two looks whether the plan is chosen
PROGRESS = gr.Progress()  # Gradio fills it in for each call


class Events:
    """Handle the events of one page.

    Methods take and return values of components, in the order that `page.build` lists them.

    Args:
        workspace: the folder.
        proposer: makes proposals from confirmed images.
        prompter: returns the segmenter from clicks, loaded when first used; raises InputError if its weights cannot be
            loaded.
    """

    def __init__(self, workspace: Workspace, proposer: Proposer, prompter: Callable[[], Prompter]):
        self.workspace, self.proposer = workspace, proposer
        self.list = ImageList(workspace)
        self.clicks = Clicks(workspace, self.list, prompter)

    # Opening

    def leave_for(self, opened: Opened, value: dict | None, event: gr.SelectData) -> Opened:
        """Save what was painted, and remember which entry of the list was clicked."""
        return replace(self.leave(opened, value), chosen=self.list.named(event.value["caption"]))

    def leave_for_slice(self, opened: Opened, value: dict | None, number: int, step: int = 0) -> Opened:
        """Save what was painted, and remember which slice of the opened scan to open.

        Args:
            opened: the opened slice.
            value: value of the editor.
            number: number of a slice, from 1.
            step: slices to move on from there.
        """
        slices = self.workspace.scans[self.workspace.files.scan_of(opened.name)]
        index = min(max(int(number) - 1 + step, 0), len(slices) - 1)
        return replace(self.leave(opened, value), chosen=slices[index])

    def open_chosen(self, opened: Opened, *drawing) -> tuple:
        return self._open(opened.chosen, *drawing)

    def open_next(self, opened: Opened, *drawing) -> tuple:
        while (name := self.workspace.next_to_look_at()) is not None:
            with self.workspace.noting(name):  # an image that cannot be opened is skipped
                return self._opened(name, *drawing)
        gr.Info(
            "All images are confirmed." if not self.workspace.problems.all() else "All usable images are confirmed."
        )
        return self._open(opened.name or self.workspace.order()[0], *drawing)

    def open_again(self, opened: Opened, *drawing) -> tuple:
        return self._open(opened.name, *drawing)

    def first_picture(self) -> np.ndarray:
        """Return the picture (H,W,3) that the page opens with.

        Raises:
            InputError: no image can be used.
        """
        for name in self.workspace.order():
            with self.workspace.noting(name):
                self.workspace.read(name)
                return self.workspace.picture(name)
        reason = self.workspace.problem(self.workspace.names[0])
        raise InputError(f"{self.workspace.folder}: none of its images can be used; the first: {reason}")

    def _open(self, name: str, *drawing) -> tuple:
        """Show an image, or an error if it cannot be used."""
        with self.workspace.noting(name):
            return self._opened(name, *drawing)
        raise gr.Error(self.workspace.problem(name))

    def _opened(self, name: str, threshold: float, opacity: float, style: str) -> tuple:
        """Show an image with its mask, or with its proposal where it has no mask.

        Raises:
            InputError: files that cannot be used.
        """
        (_, mask), proposed = self.workspace.read(name), None
        if mask is None:
            mask = proposed = self._proposed(name, threshold)
        return self._show(name, mask, proposed, opacity, style)

    def _proposed(self, name: str, threshold: float) -> np.ndarray | None:
        """Return class values of an image's proposal; None without a proposal."""
        proposal = self.workspace.proposal(name)
        return None if proposal is None else proposal.mask(threshold, tuple(self.workspace.classes))

    def _show(
        self, name: str, mask: np.ndarray | None, proposed: np.ndarray | None, opacity: float, style: str
    ) -> tuple:
        picture = self.workspace.picture(name)
        self.proposer.wake(name)
        if mask is None or mask.shape != picture.shape[:2]:  # a proposal for the image before it was changed
            mask, proposed = np.zeros(picture.shape[:2], np.int32), None
        layer = draw_layer(mask, self.workspace.colours, opacity=opacity, style=Style(style))
        opened = Opened(name, self.workspace.token(name), layer, proposed=proposed)
        shown = editor.background(picture, self.workspace.colours, opacity)
        return (
            opened,
            shown,
            self.list.state_line(name),
            *origin_of(self.workspace, name),
            editor.with_points(picture),
            self._slider(name),
        )

    def _slider(self, name: str) -> Any:
        """Return the update of the slider over the slices of a scan."""
        if not self.workspace.scans:
            return gr.skip()
        slices = self.workspace.scans[self.workspace.files.scan_of(name)]
        return gr.update(value=slices.index(name) + 1, maximum=max(2, len(slices)))

    def draw(self, opened: Opened, value: dict | None):
        """Draw the mask of an opened image, unless the editor shows it and perhaps strokes on it.

        Gradio places a layer rightly only once its background is there.
        """
        if opened.layer is None or opened.painted(value, self.workspace.colours) is not None:
            return gr.skip()
        return editor.with_layer(self.workspace.picture(opened.name), opened.layer)

    # Saving

    def leave(self, opened: Opened, value: dict | None) -> Opened:
        """Save what was painted on an image before another one is opened."""
        values = opened.painted(value, self.workspace.colours)
        if values is None or not opened.is_changed(values):
            return opened
        state = self.workspace.state(opened.name)
        try:
            token = self.workspace.save(opened.name, values, seen=opened.token, confirm=state is State.CONFIRMED)
        except InputError as error:
            gr.Warning(str(error))
            return opened
        return replace(opened, token=token, unsaved=False)

    def save(self, opened: Opened, value: dict | None, *drawing, confirm: bool = False) -> tuple:
        values = opened.painted(value, self.workspace.colours)
        if values is None:
            raise gr.Error("The image is still being drawn. Wait a second, then try again.")
        try:
            self.workspace.save(opened.name, values, seen=opened.token, confirm=confirm)
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._open(opened.name, *drawing)

    def confirm(self, opened: Opened, value: dict | None, *drawing) -> tuple:
        return self.save(opened, value, *drawing, confirm=True)

    def confirm_scan(self, opened: Opened, threshold: float) -> None:
        """Confirm all proposals of the opened scan as they are."""
        try:
            done = self.workspace.confirm_proposals(self._slices(opened), threshold)
        except InputError as error:
            raise gr.Error(str(error)) from None
        gr.Info(f"{len(done)} slices are confirmed." if done else "No slice of this scan has a proposal.")

    def _slices(self, opened: Opened) -> list[str]:
        return self.workspace.scans[self.workspace.files.scan_of(opened.name)] if opened.name else []

    # Proposing

    def propose(self, opened: Opened, ensemble: float) -> tuple[str, str, gr.Timer]:
        """Propose a mask for the opened image; return its name and a text. The editor does not wait for it."""
        if not opened.name:
            raise gr.Error("Open an image first.")
        if self.workspace.state(opened.name) is State.CONFIRMED:
            raise gr.Error("This image is confirmed: it is an example itself.")
        try:
            for _ in self.proposer.propose([opened.name], ensemble=int(ensemble)):
                pass
        except InputError as error:
            raise gr.Error(str(error)) from None
        if self.workspace.problem(opened.name):
            raise gr.Error(self.workspace.problem(opened.name))
        return opened.name, origin_of(self.workspace, opened.name)[0], self.watch()

    def watch(self) -> gr.Timer:
        """Return the timer that looks for proposals which are made anew; it runs while there are any."""
        return gr.Timer(LOOK_AGAIN, active=self.proposer.renews)

    def look_again(self, opened: Opened) -> tuple[str, gr.Timer]:
        """Return a text that changes when the proposal of the opened image was made anew, and the timer."""
        times = self.proposer.renewed(opened.name)
        return f"{opened.name} {times}" if times else "", self.watch()

    def propose_again(self, opened: Opened, ensemble: float) -> tuple:
        """Propose anew if the opened image has a proposal, because the ensemble changed."""
        confirmed = self.workspace.state(opened.name) is State.CONFIRMED
        if not opened.name or confirmed or self.workspace.proposal(opened.name) is None:
            return "", gr.skip(), gr.skip()
        return self.propose(opened, ensemble)

    def show_proposal(self, asked: str, opened: Opened, value: dict | None, *drawing) -> tuple:
        """Show a new proposal, unless another image was opened. What was painted in the meantime stays."""
        if not opened.name or asked != opened.name:
            return tuple(gr.skip() for _ in range(9))
        values = opened.painted(value, self.workspace.colours)
        if not opened.is_changed(values) and self.workspace.state(opened.name) not in LABELLED:
            return self._open(opened.name, *drawing)
        skipped = gr.skip()
        return skipped, skipped, skipped, *origin_of(self.workspace, opened.name), skipped, skipped

    def show_new_proposal(self, opened: Opened, value: dict | None, *drawing) -> tuple:
        """Show the opened image's proposal after it was renewed, or after many were made."""
        return self.show_proposal(opened.name, opened, value, *drawing)

    def use_proposal(self, opened: Opened, threshold: float, opacity: float, style: str) -> tuple:
        """Put the proposal in place of the mask in the editor; the mask on disk stays until it is saved."""
        proposed = self._proposed(opened.name, threshold) if opened.name else None
        if proposed is None:
            raise gr.Error("This image has no proposal. Press Propose first.")
        shown, *others = self._show(opened.name, proposed, proposed, opacity, style)
        return replace(shown, unsaved=True), *others

    def propose_all(self, show: str, sheet: float, ensemble: float, progress=PROGRESS) -> Iterator[tuple]:
        yield from self._propose_many(self.workspace.names, show, sheet, ensemble, progress)

    def propose_scan(self, opened: Opened, show: str, sheet: float, ensemble: float, progress=PROGRESS):
        yield from self._propose_many(self._slices(opened), show, sheet, ensemble, progress)

    def _propose_many(self, names: list[str], show: str, sheet: float, ensemble: float, progress) -> Iterator[tuple]:
        """Propose masks for all images that are not confirmed, and yield the list from time to time."""
        names = [name for name in self.workspace.order(names) if self.workspace.state(name) is not State.CONFIRMED]
        while not self.proposer.settled:
            progress((0, len(names)), desc="comparing models on the examples")
            time.sleep(PAUSE)
            yield gr.skip(), gr.skip(), gr.skip()
        progress((0, len(names)), desc="preparing the examples")
        try:
            for number, name in enumerate(self.proposer.propose(names, ensemble=int(ensemble)), start=1):
                progress((number, len(names)), desc=f"proposed {name}")
                if number % OFTEN == 0:
                    yield self.list.sheet(show, sheet)
                    progress((number, len(names)), desc=f"proposed {name}")  # the new list took it away
        except InputError as error:
            raise gr.Error(str(error)) from None
        yield self.list.sheet(show, 1)

    # Drawing

    def redraw(self, opened: Opened, value: dict | None, threshold: float, opacity: float, style: str) -> tuple:
        """Draw the mask anew. A new threshold changes a proposal, but no pixel that was painted."""
        values = opened.painted(value, self.workspace.colours)
        if values is None:
            return opened, gr.skip()
        proposed, unsaved = opened.proposed, opened.is_changed(values)
        new = None if proposed is None else self._proposed(opened.name, threshold)
        if new is not None:
            values = np.where(values == proposed, new, values)
            proposed = new
        layer = draw_layer(values, self.workspace.colours, opacity=opacity, style=Style(style))
        shown = editor.with_layer(self.workspace.picture(opened.name), layer)
        brush = editor.brush(self.workspace.colours, opacity)
        return replace(opened, layer=layer, unsaved=unsaved, proposed=proposed), {**shown, "brush": brush}

    def export(self):
        """Pack the saved masks, class names, states and an overview into one zip file."""
        try:
            folder = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))
            file, problems = export_zip(self.workspace, folder)
        except InputError as error:
            raise gr.Error(str(error)) from None
        for problem in problems:
            gr.Warning(problem)
        return gr.update(value=str(file), visible=True)
