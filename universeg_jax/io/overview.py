"""One sheet that shows what was given and what came out."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from PIL import Image

# Okabe and Ito's colours, told apart by people with colour blindness, those that stand out on grey images first.
CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
TRUTH_OUTLINE = [Stroke(linewidth=2.0, foreground="black"), Normal()]  # white on black shows on any image
LONGEST_SIDE = 400  # pixels of an image on the sheet

# Lengths in inches.
WIDTH, MARGIN, GAP = 13.0, 0.3, 0.06
HEADING, TITLE, LARGEST_CELL = 0.8, 0.24, 3.2
SUPPORT_SHOWN = CELLS_IN_ROW = 8
SUPPORT_CELL = (WIDTH - 2 * MARGIN - (SUPPORT_SHOWN - 1) * GAP) / SUPPORT_SHOWN


@dataclass(frozen=True)
class ShownExample:
    """A labelled image: image (H,W) or (H,W,3), mask (H,W) of class values."""

    name: str
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Result:
    """A segmented image: arrays (H,W), the image also (H,W,3); truth, Dice and spread where they are known."""

    name: str
    image: np.ndarray
    mask: np.ndarray
    truth: np.ndarray | None = None
    dice: float | None = None
    spread: np.ndarray | None = None


@dataclass(frozen=True)
class Section:
    """A task on the sheet.

    Attributes:
        title, note: its heading, and a line below.
        classes: the names of the class values to draw, so all but the background.
        support: labelled examples, of which the first 8 are drawn.
        results: what to draw below them, all of it.
    """

    title: str
    note: str
    classes: Mapping[int, str]
    support: Sequence[ShownExample]
    results: Sequence[Result]

    @property
    def columns(self) -> int:
        """Images drawn for each result: image, prediction and, if one is known, spread."""
        return 3 if any(result.spread is not None for result in self.results) else 2

    @property
    def groups(self) -> int:
        """Results in a row."""
        return min(len(self.results), CELLS_IN_ROW // self.columns)

    @property
    def cell(self) -> float:
        """Side of a result's images."""
        between = GAP * (self.columns * self.groups - 1) + 2 * GAP * (self.groups - 1)
        return min(LARGEST_CELL, (WIDTH - 2 * MARGIN - between) / (self.columns * self.groups))

    @property
    def height(self) -> float:
        rows = -(-len(self.results) // self.groups)
        return HEADING + TITLE + SUPPORT_CELL + 2 * GAP + rows * (TITLE + self.cell + GAP) + MARGIN


def overview(sections: Sequence[Section]) -> Figure:
    """Draw tasks below each other: a row of support examples with outlines, then every result.

    Predictions are filled and outlined in the colour of their class, true outlines are white and lie below.
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
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in scripts the font lacks show as boxes
        overview(sections).savefig(file, format="png")


def shorten(name: str, length: int) -> str:
    """A name of at most `length` characters, cut in its middle, for both ends tell names apart."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return name[: length - 1 - tail] + "…" + name[len(name) - tail :]


def _draw_section(figure: Figure, section: Section, top: float) -> None:
    colours = {v: CLASS_COLOURS[i % len(CLASS_COLOURS)] for i, v in enumerate(section.classes)}
    _text(figure, MARGIN, top, shorten(section.title, 115), size=12, weight="bold")
    _text(figure, MARGIN, top + 0.24, section.note, size=8.5, color="#555555")
    _legend(figure, section, colours, top + 0.46)

    top += HEADING
    for i, example in enumerate(section.support[:SUPPORT_SHOWN]):
        left = MARGIN + i * (SUPPORT_CELL + GAP)
        _text(figure, left, top + 0.06, shorten(example.name, _fitting(SUPPORT_CELL)), size=7, color="#555555")
        axes = _cell(figure, left, top + TITLE, SUPPORT_CELL, example.image)
        for value, colour in colours.items():
            _outline(axes, example.mask == value, color=colour, linewidth=1.2)

    top += TITLE + SUPPORT_CELL + 2 * GAP
    highest = max((float(r.spread.max()) for r in section.results if r.spread is not None), default=0.0)
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
    for value in colours if result.truth is not None else ():
        _outline(axes, result.truth == value, color="white", linewidth=1.0, path_effects=TRUTH_OUTLINE)
    for value, colour in colours.items():
        _fill(axes, result.mask == value, colour)
        _outline(axes, result.mask == value, color=colour, linewidth=1.2)
    if result.spread is not None:
        axes = _cell(figure, left + 2 * step, top + TITLE, section.cell, result.image)
        axes.imshow(_shrink(result.spread), cmap="magma", vmin=0, vmax=highest or 1, extent=_extent(result.spread))


def _legend(figure: Figure, section: Section, colours: dict[int, str], top: float) -> None:
    shown = list(section.classes.items())[: len(CLASS_COLOURS)]
    handles = [Patch(color=colours[v], label=shorten(name, max(8, 72 // len(shown)))) for v, name in shown]
    if len(section.classes) > len(shown):
        handles.append(Patch(color="none", label=f"and {len(section.classes) - len(shown)} more"))
    if any(result.truth is not None for result in section.results):
        outline = Line2D([], [], color="white", linewidth=1.6, path_effects=TRUTH_OUTLINE, label="truth")
        handles.append(outline)
    spreads = [float(result.spread.max()) for result in section.results if result.spread is not None]
    if spreads:
        label = f"uncertainty, black 0 to yellow {max(spreads):.2g}"
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
    """Inches from the left and the top as matplotlib's fractions from the left and the bottom."""
    width, height = figure.get_size_inches()
    return left / width, 1 - top / height


def _text(figure: Figure, left: float, top: float, text: str, **style) -> None:
    # parse_math: file names may hold dollar signs
    figure.text(*_place(figure, left, top), text, verticalalignment="top", parse_math=False, **style)


def _fitting(width: float) -> int:
    """Characters of the small titles that fit in a width, taken as wide ones."""
    return max(6, int(width / 0.07))


def _cell(figure: Figure, left: float, top: float, side: float, image: np.ndarray) -> Axes:
    """Draw an image into a square place, in its own aspect, contrast stretched as the model sees it."""
    x, y = _place(figure, left, top + side)
    axes = figure.add_axes((x, y, side / WIDTH, side / figure.get_size_inches()[1]))
    axes.set_axis_off()
    axes.set_anchor("NW")
    # Without the brightest and darkest half per cent: a single bright speck would leave the rest black.
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
    """An image (H,W) or (H,W,3) in [0,1] as uint8, no larger than the sheet shows."""
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    picture = Image.fromarray(np.round(image * 255).astype(np.uint8))
    size = [max(1, round(side * scale)) for side in picture.size]
    return np.asarray(picture.resize(size, Image.Resampling.BOX)) / 255


def _sample(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bool mask no larger than the sheet shows, and the pixel rows and columns it was taken from."""
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, LONGEST_SIDE)).round().astype(int)) for n in mask.shape)
    return mask[np.ix_(rows, columns)], rows, columns


def _fill(axes: Axes, mask: np.ndarray, colour: str) -> None:
    small, _, _ = _sample(mask)
    layer = np.where(small[..., None], to_rgba(colour, 0.35), 0)
    axes.imshow(layer, interpolation="nearest", extent=_extent(mask))


def _outline(axes: Axes, mask: np.ndarray, *, color: str, linewidth: float, path_effects=None) -> None:
    if not mask.any():
        return
    small, rows, columns = _sample(mask)
    # A ring of background closes outlines that run along the border.
    y, x = np.r_[-1, rows, mask.shape[0]], np.r_[-1, columns, mask.shape[1]]
    left, right, bottom, top = _extent(mask)
    lines = axes.contour(x, y, np.pad(small, 1), levels=[0.5], colors=color, linewidths=linewidth)
    if path_effects:
        lines.set_path_effects(path_effects)
    axes.set(xlim=(left, right), ylim=(bottom, top))
