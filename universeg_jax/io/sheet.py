"""Content and layout of an overview: what a sheet shows, without the drawing and its slow imports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# Okabe and Ito's colours, which people with colour blindness can distinguish; the best visible on grey come first.
CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")

# Lengths in inches.
WIDTH, MARGIN, GAP = 13.0, 0.3, 0.06
HEADING, TITLE, LARGEST_CELL = 0.8, 0.24, 3.2
SUPPORT_SHOWN = CELLS_IN_ROW = 8
SUPPORT_CELL = (WIDTH - 2 * MARGIN - (SUPPORT_SHOWN - 1) * GAP) / SUPPORT_SHOWN


@dataclass(frozen=True)
class ShownExample:
    """Labelled image: image (H,W) or (H,W,3), mask (H,W) of class values."""

    name: str
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Result:
    """Segmented image: arrays (H,W), the image also (H,W,3); truth, Dice and spread are None if unknown."""

    name: str
    image: np.ndarray
    mask: np.ndarray
    truth: np.ndarray | None = None
    dice: float | None = None
    spread: np.ndarray | None = None


@dataclass(frozen=True)
class Section:
    """Part of the sheet for one task.

    Attributes:
        title, note: its heading, and a line below.
        classes: names of the class values to draw, without the background.
        support: labelled examples; the first `SUPPORT_SHOWN` are drawn.
        results: segmented images; all are drawn below the examples.
        colours: colours of class values, such as "#ff0000". Other classes take `CLASS_COLOURS` in turn.
    """

    title: str
    note: str
    classes: Mapping[int, str]
    support: Sequence[ShownExample]
    results: Sequence[Result]
    colours: Mapping[int, str] = field(default_factory=dict)

    def palette(self) -> dict[int, str]:
        """Colour of every class to draw."""
        return {v: self.colours.get(v, CLASS_COLOURS[i % len(CLASS_COLOURS)]) for i, v in enumerate(self.classes)}

    @property
    def columns(self) -> int:
        """Number of images for each result: image, prediction and, if one is known, spread."""
        return 3 if any(result.spread is not None for result in self.results) else 2

    @property
    def groups(self) -> int:
        """Number of results in a row."""
        return min(len(self.results), CELLS_IN_ROW // self.columns)

    @property
    def cell(self) -> float:
        """Side of the images of a result, in inches."""
        between = GAP * (self.columns * self.groups - 1) + 2 * GAP * (self.groups - 1)
        return min(LARGEST_CELL, (WIDTH - 2 * MARGIN - between) / (self.columns * self.groups))

    @property
    def height(self) -> float:
        """Height of the section, in inches."""
        rows = -(-len(self.results) // self.groups)
        return HEADING + TITLE + SUPPORT_CELL + 2 * GAP + rows * (TITLE + self.cell + GAP) + MARGIN


def shorten(name: str, length: int) -> str:
    """Shorten a name to `length` characters in its middle, because both ends distinguish names."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return name[: length - 1 - tail] + "…" + name[len(name) - tail :]
