"""The editor component, and the values that show an image, a mask, clicks and uncertainty."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
from matplotlib import colormaps

from universeg_jax.app.paint import Layer
from universeg_jax.app.pictures import for_browser

PROMPT_SIDE = 480  # pixels that the longer side of a prompt picture has at least, nearly
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
