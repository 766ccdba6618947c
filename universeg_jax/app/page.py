"""The page: list of images on the left, the editor in the middle, the proposal's origin on the right.

The page holds no logic that the library could hold: `Workspace` owns files and states, `Proposer` and `Prompter` own
models, `paint` owns pixels. Functions here translate events of the browser into calls of these.
"""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from universeg_jax.app.paint import Layer, Style, draw_layer, read_layer
from universeg_jax.app.propose import Prompter, Proposer
from universeg_jax.app.workspace import State, Workspace
from universeg_jax.errors import InputError

PAGE = 24  # images in the list at once
EXAMPLES_SHOWN = 8
PROGRESS = gr.Progress()  # Gradio fills it in for each call
MARKS = {State.EMPTY: "○ empty", State.PROPOSED: "◐ proposed", State.EDITED: "◐ edited", State.CONFIRMED: "● confirmed"}
SHOW = {"All": None, "To do": (State.EMPTY, State.PROPOSED, State.EDITED), "Confirmed": (State.CONFIRMED,)}
CSS = """
footer {display: none !important}
#list .caption-label {font-size: 11px}
#state p {margin: 0}
"""
# Fonts of the system: the default theme would fetch its own from elsewhere.
FONT, FONT_MONO = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")


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


class Page:
    """Build the page over one workspace.

    Args:
        workspace: the folder.
        proposer: makes proposals from confirmed images.
        prompter: returns what segments from clicks, loaded when first used; raises InputError where it cannot be had.
    """

    def __init__(self, workspace: Workspace, proposer: Proposer, prompter: Callable[[], Prompter]):
        self.workspace, self.proposer, self._prompter = workspace, proposer, prompter

    def build(self) -> gr.Blocks:
        """Return the page, to be launched."""
        with gr.Blocks(title="universeg-jax", analytics_enabled=False, fill_width=True) as page:
            opened = gr.State(Opened())
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=230):
                    progress = gr.Markdown(elem_id="progress")
                    show = gr.Radio(list(SHOW), value="All", show_label=False, elem_id="show")
                    images = gr.Gallery(
                        columns=2, height=560, allow_preview=False, show_label=False, buttons=[], elem_id="list"
                    )
                    with gr.Row():
                        back = gr.Button("◀", size="sm", min_width=40, elem_id="page-back")
                        sheet = gr.Number(1, precision=0, minimum=1, show_label=False, min_width=60, container=False)
                        forth = gr.Button("▶", size="sm", min_width=40, elem_id="page-forth")
                    propose_all = gr.Button("Propose all", elem_id="propose-all")
                    stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
                with gr.Column(scale=8, min_width=480):
                    state = gr.Markdown("Choose an image on the left.", elem_id="state")
                    editor = self._editor()
                    with gr.Row():
                        propose = gr.Button("Propose", elem_id="propose")
                        save = gr.Button("Save", elem_id="save")
                        confirm = gr.Button("Confirm", variant="primary", elem_id="confirm")
                        following = gr.Button("Next to look at", elem_id="next")
                    with gr.Accordion("Start from a click or a box", open=False):
                        with gr.Row():
                            prompt_kind = gr.Radio(["Click", "Box"], value="Click", show_label=False)
                            prompt_class = gr.Dropdown(self._class_choices(), value=self._first_class(), label="Class")
                            clear = gr.Button("Forget clicks", size="sm")
                        prompt = gr.Image(
                            type="numpy", interactive=False, show_label=False, buttons=[], elem_id="prompt"
                        )
                with gr.Column(scale=4, min_width=260):
                    threshold = gr.Slider(0.05, 0.95, 0.5, step=0.05, label="Threshold", elem_id="threshold")
                    ensemble = gr.Slider(1, 8, 1, step=1, label="Ensemble (random draws of the examples)")
                    opacity = gr.Slider(0.1, 1.0, 0.5, step=0.1, label="Opacity")
                    style = gr.Radio([s.value for s in Style], value=Style.FILL.value, label="Mask as")
                    with gr.Accordion("Classes", open=False):
                        legend = gr.HTML(self._legend(), elem_id="legend")
                        class_names = gr.Dataframe(
                            self._class_rows(),
                            headers=["value", "name"],
                            datatype=["number", "str"],
                            column_count=(2, "fixed"),
                            show_label=False,
                            elem_id="classes",
                        )
                        with gr.Row():
                            rename = gr.Button("Save names", size="sm", elem_id="rename")
                            add = gr.Button("Add a class", size="sm", elem_id="add-class")
                    about = gr.Markdown(elem_id="about")
                    examples = gr.Gallery(
                        label="Made from", columns=4, height=150, allow_preview=False, buttons=[], elem_id="examples"
                    )
                    spread = gr.Image(
                        label="Uncertainty", interactive=False, visible=False, buttons=[], elem_id="spread"
                    )
            shown = [images, progress, sheet]
            view = [opened, editor, state, about, examples, spread, prompt]
            drawing = [threshold, opacity, style]
            leaving, here = [opened, editor], [show, sheet]

            def then_shows(event, *, listed: bool = True):
                """After an event that opened an image: draw its mask, then list the images anew."""
                event = event.then(self._draw, [opened, opacity], editor, show_progress="hidden")
                return event.then(self._list, here, shown, show_progress="hidden") if listed else event

            page.load(self._list, here, shown)
            then_shows(page.load(self._open_next, [opened, *drawing], view), listed=False)
            gr.on([show.change, sheet.submit], self._list, here, shown)
            back.click(lambda show, number: self._list(show, (number or 1) - 1), here, shown)
            forth.click(lambda show, number: self._list(show, (number or 1) + 1), here, shown)
            left = images.select(self._leave_for, leaving, opened)
            then_shows(left.then(self._open_chosen, [opened, *drawing], view))
            left = following.click(self._leave, leaving, opened)
            then_shows(left.then(self._open_next, [opened, *drawing], view))
            then_shows(save.click(self._save, [*leaving, *drawing], view))
            then_shows(confirm.click(self._confirm, [*leaving, *drawing], view))
            then_shows(propose.click(self._propose, [*leaving, ensemble, *drawing], view))
            then_shows(ensemble.release(self._propose, [*leaving, ensemble, *drawing], view))
            running = (
                propose_all.click(lambda: gr.update(visible=True), None, stop)
                .then(self._propose_all, [*here, ensemble], shown)
                .then(lambda: gr.update(visible=False), None, stop)
            )
            stop.click(lambda: gr.update(visible=False), None, stop, cancels=[running]).then(self._list, here, shown)
            redrawn = [threshold.release, opacity.release, style.input]
            gr.on(redrawn, self._redraw, [*leaving, *drawing], [opened, editor], show_progress="hidden")
            prompted = [*leaving, prompt_kind, prompt_class, *drawing]
            then_shows(prompt.select(self._clicked, prompted, view))
            clear.click(self._forget_clicks, opened, [opened, prompt])
            classes_shown = [class_names, legend, prompt_class, editor]
            rename.click(self._rename, class_names, classes_shown)
            add.click(self._add_class, None, classes_shown)
        return page

    # The list

    def _list(self, show: str, sheet: float | None) -> tuple[Any, str, int]:
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

    def _leave_for(self, opened: Opened, value: dict | None, event: gr.SelectData) -> Opened:
        """Save what was painted, and remember which image of the list was clicked."""
        return replace(self._leave(opened, value), chosen=event.value["caption"].split("\n")[0])

    def _open_chosen(self, opened: Opened, *drawing) -> tuple:
        return self._open(opened.chosen, *drawing)

    def _open_next(self, opened: Opened, *drawing) -> tuple:
        name = self.workspace.next_to_look_at()
        if name is None:
            gr.Info("All images are confirmed.")
            name = opened.name or self.workspace.names[0]
        return self._open(name, *drawing)

    # One image

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
            self._background(picture, opacity),
            self._state_line(name),
            self._about(proposal),
            [(workspace.thumbnail(n), n) for n in (proposal.examples if proposal else ())[:EXAMPLES_SHOWN]],
            self._spread(proposal),
            picture,
        )

    def _draw(self, opened: Opened, opacity: float):
        """Draw the mask of an opened image. Gradio places a layer rightly only once its background is there."""
        return self._editor_value(self.workspace.picture(opened.name), opened.layer) if opened.name else gr.skip()

    def _painted(self, opened: Opened, value: dict | None) -> np.ndarray | None:
        """Read the class values that the editor shows; None before it shows any."""
        if opened.layer is None or not value or not value.get("layers"):
            return None
        painted = np.asarray(value["layers"][0])
        if painted.shape != opened.layer.pixels.shape:
            return None  # the browser has not drawn this image yet
        return read_layer(painted, opened.layer, self.workspace.colours)

    def _leave(self, opened: Opened, value: dict | None) -> Opened:
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

    def _save(self, opened: Opened, value: dict | None, *drawing, confirm: bool = False) -> tuple:
        values = self._painted(opened, value)
        if values is None:
            raise gr.Error("Open an image first.")
        try:
            self.workspace.save(opened.name, values, seen=opened.token, confirm=confirm)
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._open(opened.name, *drawing)

    def _confirm(self, opened: Opened, value: dict | None, *drawing) -> tuple:
        return self._save(opened, value, *drawing, confirm=True)

    def _propose(self, opened: Opened, value: dict | None, ensemble: float, *drawing) -> tuple:
        if not opened.name:
            raise gr.Error("Open an image first.")
        if self.workspace.state(opened.name) is State.CONFIRMED:
            raise gr.Error("This image is confirmed: it is an example itself.")
        opened = self._leave(opened, value)
        try:
            for _ in self.proposer.propose([opened.name], ensemble=int(ensemble)):
                pass
        except InputError as error:
            raise gr.Error(str(error)) from None
        for warning in self.proposer.warnings:
            gr.Warning(warning)
        return self._open(opened.name, *drawing)

    def _propose_all(self, show: str, sheet: float, ensemble: float, progress=PROGRESS) -> Iterator[tuple]:
        names = [name for name in self.workspace.order() if self.workspace.state(name) is not State.CONFIRMED]
        try:
            for number, name in enumerate(self.proposer.propose(names, ensemble=int(ensemble)), start=1):
                progress((number, len(names)), desc=f"proposed {name}")
                if number % PAGE == 0:
                    yield self._list(show, sheet)
        except InputError as error:
            raise gr.Error(str(error)) from None
        for warning in self.proposer.warnings:
            gr.Warning(warning)
        yield self._list(show, 1)

    def _redraw(self, opened: Opened, value: dict | None, threshold: float, opacity: float, style: str) -> tuple:
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
        editor = self._editor_value(self.workspace.picture(opened.name), layer)
        return replace(opened, layer=layer, proposed=proposed), {**editor, "brush": self._brush(opacity)}

    # Clicks

    def _clicked(
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
        marked = self._with_points(picture, points)
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
        return opened, self._background(picture, opacity), self._state_line(opened.name), *[gr.skip()] * 3, marked

    def _forget_clicks(self, opened: Opened) -> tuple:
        picture = self.workspace.picture(opened.name) if opened.name else None
        return replace(opened, points=()), picture

    @staticmethod
    def _with_points(picture: np.ndarray, points) -> np.ndarray:
        marked, radius = picture.copy(), max(2, max(picture.shape) // 120)
        for x, y in points:
            marked[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = (255, 0, 80)
        return marked

    # Classes

    def _class_rows(self) -> list[list]:
        return [[value, name] for value, name in self.workspace.classes.items()]

    def _class_choices(self) -> list[tuple[str, int]]:
        return [(name, value) for value, name in self.workspace.classes.items()]

    def _first_class(self) -> int:
        return next(iter(self.workspace.classes))

    def _legend(self) -> str:
        colours = self.workspace.colours
        return "<br>".join(
            f'<span style="color:{colours[value]}">■</span> {html.escape(name)}'
            for value, name in self.workspace.classes.items()
        )

    def _rename(self, rows) -> tuple:
        try:
            for value, name in rows.values.tolist():
                self.workspace.name_class(int(value), str(name))
        except (InputError, ValueError) as error:
            raise gr.Error(str(error)) from None
        return self._classes_shown()

    def _add_class(self) -> tuple:
        try:
            self.workspace.add_class()
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._classes_shown()

    def _classes_shown(self) -> tuple:
        brush = gr.update(brush=self._brush(0.5))
        return self._class_rows(), self._legend(), gr.update(choices=self._class_choices()), brush

    # What components show

    def _brush(self, opacity: float, size: int = 12) -> gr.Brush:
        colours = [(colour, opacity) for colour in self.workspace.colours.values()]
        return gr.Brush(default_size=size, colors=colours, default_color=colours[0], color_mode="fixed")

    def _editor(self) -> gr.ImageEditor:
        first = self.workspace.picture(self.workspace.order()[0])
        clear = np.zeros((*first.shape[:2], 4), np.uint8)
        return gr.ImageEditor(
            {"background": first, "layers": [clear], "composite": None},  # an editor that began empty draws no layer
            type="numpy",
            format="png",
            image_mode="RGBA",
            sources=(),
            transforms=(),
            brush=self._brush(0.5),
            eraser=gr.Eraser(),
            canvas_size=first.shape[1::-1],
            layers=gr.LayerOptions(allow_additional_layers=False, layers=["mask"]),
            height=620,
            show_label=False,
            buttons=["fullscreen"],
            elem_id="editor",
        )

    def _background(self, picture: np.ndarray, opacity: float):
        clear = np.zeros((*picture.shape[:2], 4), np.uint8)
        value = {"background": picture, "layers": [clear], "composite": None}
        return gr.update(
            value=value,
            canvas_size=picture.shape[1::-1],
            brush=self._brush(opacity, max(2, min(picture.shape[:2]) // 24)),
        )

    @staticmethod
    def _editor_value(picture: np.ndarray, layer: Layer):
        return gr.update(value={"background": picture, "layers": [layer.pixels], "composite": None})

    def _state_line(self, name: str) -> str:
        return f"**{name}** · {MARKS[self.workspace.state(name)]}"

    def _about(self, proposal) -> str:
        if proposal is None:
            return "No proposal yet. Confirm one image, then press Propose."
        return f"Expected Dice **{proposal.forecast:.2f}**, {proposal.note}"

    @staticmethod
    def _spread(proposal):
        if proposal is None or proposal.spread is None:
            return gr.update(visible=False, value=None)
        from matplotlib import colormaps

        spread = np.clip(proposal.spread.astype(np.float32) / 0.5, 0, 1)
        return gr.update(visible=True, value=np.round(colormaps["magma"](spread)[..., :3] * 255).astype(np.uint8))
