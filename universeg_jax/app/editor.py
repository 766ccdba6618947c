"""The image on the page: the editor, what is open in it, its table of classes, and the origin of its proposal."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from matplotlib import colormaps

from universeg_jax.app.pictures import Layer, for_browser, read_layer
from universeg_jax.app.states import LABELLED, State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError

PROMPT_SIDE = 480  # smallest longer side of a prompt picture in pixels, approximately
LARGEST_SPREAD = 0.5  # standard deviation of probabilities, shown in the brightest colour


def make_editor(picture: np.ndarray, colours: Mapping[int, str]) -> gr.ImageEditor:
    """Make the editor with its first picture (H,W,3); an editor that began empty draws no layer."""
    return gr.ImageEditor(
        _value(picture, _clear(picture)),
        type="numpy",
        format="png",
        image_mode="RGBA",
        sources=(),
        transforms=(),
        brush=brush(colours, 0.5),
        eraser=gr.Eraser(),
        canvas_size=picture.shape[1::-1],
        layers=gr.LayerOptions(allow_additional_layers=False, layers=["mask"]),
        height=620,
        show_label=False,
        buttons=["fullscreen"],
        elem_id="editor",
    )


def brush(colours: Mapping[int, str], opacity: float, *, size: int = 12) -> gr.Brush:
    """Return a brush with one colour for each class, and a size in pixels of the image."""
    choices = [(colour, opacity) for colour in colours.values()]
    return gr.Brush(default_size=size, colors=choices, default_color=choices[0], color_mode="fixed")


def background(picture: np.ndarray, colours: Mapping[int, str], opacity: float) -> dict[str, Any]:
    """Return the update that shows a picture (H,W,3) without a mask, and fits canvas and brush to it."""
    size = max(2, min(picture.shape[:2]) // 24)
    value = _value(picture, _clear(picture))
    return gr.update(value=value, canvas_size=picture.shape[1::-1], brush=brush(colours, opacity, size=size))


def with_layer(picture: np.ndarray, layer: Layer) -> dict[str, Any]:
    """Return the update that shows a picture (H,W,3) with a mask."""
    return gr.update(value=_value(picture, layer.pixels))


def magnification(picture: np.ndarray) -> int:
    """Return how many pixels of the prompt picture show one pixel of a picture (H,W,3) along each side.

    The browser shows a small picture in its own size, which is too small to click into.
    """
    return max(1, PROMPT_SIDE // max(picture.shape[:2]))


def with_points(picture: np.ndarray, points: Sequence[tuple[int, int]] = ()) -> str:
    """Return the path of the prompt picture: a picture (H,W,3), magnified, with a mark at each point (x, y) of it."""
    times = magnification(picture)
    marked = picture.repeat(times, axis=0).repeat(times, axis=1)
    radius = max(2, max(marked.shape) // 120)
    for x, y in ((times * x + times // 2, times * y + times // 2) for x, y in points):
        marked[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = (255, 0, 80)
    return for_browser(marked)


def heat_map(spread: np.ndarray | None) -> dict[str, Any]:
    """Return the update that shows a standard deviation (H,W) as colours, or hides the picture."""
    if spread is None:
        return gr.update(visible=False, value=None)
    shown = np.clip(spread.astype(np.float32) / LARGEST_SPREAD, 0, 1)
    picture = np.round(colormaps["magma"](shown)[..., :3] * 255).astype(np.uint8)
    return gr.update(visible=True, value=for_browser(picture))


def _value(picture: np.ndarray, layer: np.ndarray) -> dict[str, Any]:
    return {"background": for_browser(picture), "layers": [for_browser(layer)], "composite": None}


def _clear(picture: np.ndarray) -> np.ndarray:
    return np.zeros((*picture.shape[:2], 4), np.uint8)


class ClassTable:
    """Names and colours of classes, as components show them.

    Args:
        workspace: the folder.
    """

    def __init__(self, workspace: Workspace):
        self.workspace = workspace

    def rows(self) -> list[list]:
        """Return value and name of each class."""
        return [[value, name] for value, name in self.workspace.classes.items()]

    def choices(self) -> list[tuple[str, int]]:
        """Return name and value of each class."""
        return [(name, value) for value, name in self.workspace.classes.items()]

    def first(self) -> int:
        """Return the value of the first class."""
        return next(iter(self.workspace.classes))

    def legend(self) -> str:
        """Return the names with their colours as HTML."""
        colours = self.workspace.colours
        return "<br>".join(
            f'<span style="color:{colours[value]}">■</span> {html.escape(name)}'
            for value, name in self.workspace.classes.items()
        )

    def rename(self, rows, opacity: float) -> tuple:
        """Take over the names of an edited table."""
        try:
            for value, name in rows.values.tolist():
                self.workspace.name_class(int(value), str(name))
        except (InputError, ValueError) as error:
            raise gr.Error(str(error)) from None
        return self._shown(opacity)

    def add(self, opacity: float) -> tuple:
        """Add a class."""
        try:
            self.workspace.add_class()
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._shown(opacity)

    def _shown(self, opacity: float) -> tuple:
        painted_with = gr.update(brush=brush(self.workspace.colours, opacity))
        return self.rows(), self.legend(), gr.update(choices=self.choices()), painted_with


@dataclass(frozen=True)
class Opened:
    """One image as it was opened in one tab.

    Attributes:
        name: the image; empty before the first was opened.
        token: the mask on disk that the editing began from.
        layer: layer that was drawn into the editor.
        unsaved: whether the layer holds changes that neither the mask on disk nor the proposal has.
        proposed: (H,W) class values that the threshold gave; None if the image had a mask.
        points: (x, y) that were clicked in the prompt picture.
        before_points: (H,W) class values before these clicks; None without clicks.
        chosen: the image that was clicked in the list, to be opened next.
    """

    name: str = ""
    token: str = ""
    layer: Layer | None = None
    unsaved: bool = False
    proposed: np.ndarray | None = None
    points: tuple[tuple[int, int], ...] = ()
    before_points: np.ndarray | None = None
    chosen: str = ""

    def painted(self, value: dict | None, colours: dict[int, str]) -> np.ndarray | None:
        """Read the class values (H,W) that an editor shows; None while it does not show this image.

        Args:
            value: value of the editor.
            colours: colours of the classes.
        """
        if self.layer is None or not value or not value.get("layers"):
            return None
        pixels = np.asarray(value["layers"][0])
        return read_layer(pixels, self.layer, colours) if self.layer.is_shown(pixels) else None

    def is_changed(self, values: np.ndarray | None) -> bool:
        """Tell whether painted class values must be saved; False for None, the value while another image is shown."""
        drawn = None if self.layer is None else self.layer.values
        return values is not None and (self.unsaved or drawn is None or not np.array_equal(values, drawn))


EXAMPLES_SHOWN = 8


def origin_of(workspace: Workspace, name: str) -> tuple:
    """Return text, examples and heat map of an image's proposal, and whether it may replace a mask."""
    proposal = workspace.proposal(name)
    if proposal is None:
        return (
            _without_proposal(workspace, name),
            gr.update(visible=False),
            heat_map(None),
            gr.update(visible=False),
        )
    known = [one for one in proposal.examples if one in set(workspace.names) and not workspace.problem(one)]
    examples = [(for_browser(workspace.thumbnail(one)), one) for one in known[:EXAMPLES_SHOWN]]
    text = f"Expected Dice **{proposal.forecast:.2f}**, {proposal.note}"
    text += "".join(f"\n\n⚠ {html.escape(warning)}" for warning in proposal.warnings)
    has_mask = gr.update(visible=workspace.state(name) in LABELLED)
    return text, gr.update(value=examples, visible=True), heat_map(proposal.spread), has_mask


def _without_proposal(workspace: Workspace, name: str) -> str:
    """Say what to do with an image that has no proposal."""
    if workspace.state(name) is State.CONFIRMED:
        return "This image is confirmed: it is an example for the others."
    if workspace.confirmed():
        return "No proposal yet. Press Propose."
    return "No proposal yet. Paint the structure and press Confirm, or start from a click."
