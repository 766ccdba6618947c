"""Sheet of pictures that shows the labelled examples of a task and the results below them."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from PIL import Image

from universeg_jax.io.sheet import (
    CLASS_COLOURS,
    GAP,
    HEADING,
    MARGIN,
    SUPPORT_CELL,
    SUPPORT_SHOWN,
    TITLE,
    WIDTH,
    Result,
    Section,
    shorten,
)

TRUTH_OUTLINE = [Stroke(linewidth=2.0, foreground="black"), Normal()]  # white on black is visible on any image
LONGEST_SIDE = 400  # pixels of an image on the sheet
EDGE = 3  # pixels, of LONGEST_SIDE, of the coloured edge inside a class
FILL = 0.35  # opacity of a filled class
LEAST_SPREAD = 0.1  # smallest standard deviation that is drawn bright; rounding errors stay dark


def overview(sections: Sequence[Section]) -> Figure:
    """Draw tasks below each other: a row of support examples with their classes, then every result.

    The edge of a class lies inside the class, so that a ring and its core are both visible. Predictions are also
    filled. True outlines are white.
    """
    height = sum(section.height for section in sections) + MARGIN
    figure = Figure(figsize=(WIDTH, height), dpi=120, facecolor="white")
    top = MARGIN
    for section in sections:
        _draw_section(figure, section, top)
        top += section.height
    return figure


def write_overview(file: Path | BinaryIO, sections: Sequence[Section]) -> None:
    """Write the sheet of `overview` as a PNG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # letters that the font lacks are drawn as boxes
        overview(sections).savefig(file, format="png")


def _draw_section(figure: Figure, section: Section, top: float) -> None:
    colours = section.palette()
    _text(figure, MARGIN, top, shorten(section.title, 115), size=12, weight="bold")
    _text(figure, MARGIN, top + 0.24, section.note, size=8.5, color="#555555")
    _legend(figure, section, colours, top + 0.46)

    top += HEADING
    for i, example in enumerate(section.support[:SUPPORT_SHOWN]):
        left = MARGIN + i * (SUPPORT_CELL + GAP)
        _text(figure, left, top + 0.06, shorten(example.name, _fitting(SUPPORT_CELL)), size=7, color="#555555")
        axes = _cell(figure, left, top + TITLE, SUPPORT_CELL, example.image)
        _paint(axes, example.mask, colours, fill=0)

    top += TITLE + SUPPORT_CELL + 2 * GAP
    highest = _highest(section)
    group_width = section.columns * (section.cell + GAP) + 2 * GAP
    for i, result in enumerate(section.results):
        row, column = divmod(i, section.groups)
        left, upper = MARGIN + column * group_width, top + row * (TITLE + section.cell + GAP)
        _draw_result(figure, result, left, upper, section, colours, highest)


def _draw_result(
    figure: Figure, result: Result, left: float, top: float, section: Section, colours: dict[int, str], highest: float
) -> None:
    step = section.cell + GAP
    right = left + section.columns * step - GAP
    dice = "" if result.dice is None else f"Dice {result.dice:.2f}"
    name = shorten(result.name, _fitting(right - left - (0.75 if dice else 0)))
    _text(figure, left, top + 0.06, name, size=7)
    _text(figure, right, top + 0.06, dice, size=7, weight="bold", horizontalalignment="right")

    _cell(figure, left, top + TITLE, section.cell, result.image)
    axes = _cell(figure, left + step, top + TITLE, section.cell, result.image)
    if result.truth is not None:
        for value in colours:
            _outline(axes, result.truth == value)
    _paint(axes, result.mask, colours, fill=FILL)
    if result.spread is not None:
        axes = _cell(figure, left + 2 * step, top + TITLE, section.cell, result.image)
        spread = np.where(_content(result.image), result.spread, 0)
        axes.imshow(_shrink(spread), cmap="magma", vmin=0, vmax=highest, extent=_extent(spread))


def _highest(section: Section) -> float:
    spreads = [float(r.spread[_content(r.image)].max()) for r in section.results if r.spread is not None]
    return max([*spreads, LEAST_SPREAD])


def _legend(figure: Figure, section: Section, colours: dict[int, str], top: float) -> None:
    shown = list(section.classes.items())[: len(CLASS_COLOURS)]
    handles: list[Artist] = [
        Patch(color=colours[v], label=shorten(name, max(8, 72 // len(shown)))) for v, name in shown
    ]
    if len(section.classes) > len(shown):
        handles.append(Patch(color="none", label=f"and {len(section.classes) - len(shown)} more"))
    if any(result.truth is not None for result in section.results):
        handles.append(Line2D([], [], color="white", linewidth=1.6, path_effects=TRUTH_OUTLINE, label="truth"))
    if section.columns == 3:
        label = f"uncertainty, black 0 to yellow {_highest(section):.2g}"
        handles.append(Patch(color=colormaps["magma"](0.75), label=label))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=_place(figure, MARGIN, top),
        ncols=len(handles),
        fontsize=8.5,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
    )


def _place(figure: Figure, left: float, top: float) -> tuple[float, float]:
    """Convert inches from the left and the top to matplotlib's fractions from the left and the bottom."""
    width, height = figure.get_size_inches()
    return left / width, 1 - top / height


def _text(figure: Figure, left: float, top: float, text: str, **style) -> None:
    # parse_math: file names may contain dollar signs
    figure.text(*_place(figure, left, top), text, verticalalignment="top", parse_math=False, **style)


def _fitting(width: float) -> int:
    """Number of wide characters of a small title that fit in a width in inches."""
    return max(6, int(width / 0.07))


def _cell(figure: Figure, left: float, top: float, side: float, image: np.ndarray) -> Axes:
    """Draw an image in a square place, with its own aspect and a stretched contrast."""
    x, y = _place(figure, left, top + side)
    axes = figure.add_axes((x, y, side / WIDTH, side / figure.get_size_inches()[1]))
    axes.set_axis_off()
    axes.set_anchor("NW")
    # The brightest and darkest half per cent are clipped: a single bright speck would leave the rest black.
    low, high = np.percentile(image, (0.5, 99.5))
    if low == high:
        low, high = float(image.min()), float(image.max())
    stretched = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
    axes.imshow(_shrink(stretched), cmap="gray", vmin=0, vmax=1, extent=_extent(image))
    return axes


def _extent(image: np.ndarray) -> tuple[float, float, float, float]:
    height, width = image.shape[:2]
    return -0.5, width - 0.5, height - 0.5, -0.5


def _shrink(image: np.ndarray) -> np.ndarray:
    """Shrink an image (H,W) or (H,W,3) in [0,1] to the size that the sheet shows."""
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    picture = Image.fromarray(np.round(image * 255).astype(np.uint8))
    size = [max(1, round(side * scale)) for side in picture.size]
    return np.asarray(picture.resize(size, Image.Resampling.BOX)) / 255


def _sample(length: int, most: int) -> np.ndarray:
    """Indices of at most `most` pixels at even distances along a side."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def _paint(axes: Axes, mask: np.ndarray, colours: Mapping[int, str], *, fill: float) -> None:
    """Paint each class in its colour: an opaque edge inside the class, and its area with the opacity `fill`."""
    from scipy import ndimage

    small = mask[np.ix_(*(_sample(length, LONGEST_SIDE) for length in mask.shape))]
    times = max(1, LONGEST_SIDE // max(small.shape))  # small masks are enlarged, so that edges are thin on the sheet
    large = small.repeat(times, axis=0).repeat(times, axis=1)
    layer = np.zeros((*large.shape, 4), np.float32)
    for value, colour in colours.items():
        inside = large == value
        edge = inside & ~ndimage.binary_erosion(inside, iterations=EDGE)
        layer[inside] = (*to_rgb(colour), fill)
        layer[edge] = (*to_rgb(colour), 1)
    axes.imshow(layer, interpolation="nearest", extent=_extent(mask))


def _content(image: np.ndarray) -> np.ndarray:
    """(H,W) bool, without the padding: the constant rows and columns along the border of an image."""
    planes = image.reshape(*image.shape[:2], -1)
    varies = (planes != planes[0, 0]).any(axis=-1)
    if not varies.any():
        return np.ones(image.shape[:2], bool)
    inside = [np.flatnonzero(varies.any(axis=across)) for across in (1, 0)]
    content = np.zeros(image.shape[:2], bool)
    content[tuple(slice(found[0], found[-1] + 1) for found in inside)] = True
    return content


def _outline(axes: Axes, mask: np.ndarray) -> None:
    """Draw the white outline of a true mask (H,W) bool."""
    if not mask.any():
        return
    rows, columns = (_sample(length, LONGEST_SIDE) for length in mask.shape)
    # A ring of background closes outlines that run along the border.
    y, x = np.r_[-1, rows, mask.shape[0]], np.r_[-1, columns, mask.shape[1]]
    left, right, bottom, top = _extent(mask)
    lines = axes.contour(x, y, np.pad(mask[np.ix_(rows, columns)], 1), levels=[0.5], colors="white", linewidths=1.0)
    lines.set_path_effects(TRUTH_OUTLINE)
    axes.set(xlim=(left, right), ylim=(bottom, top))
