"""Pictures for the screen: images as uint8 colours, thumbnails that are kept, and masks as painted layers and back."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from universeg_jax.util.files import whole_file

THUMBNAIL = 128  # pixels of the longer side


def for_screen(image: np.ndarray) -> np.ndarray:
    """Return an image (H,W) or (H,W,C) as (H,W,3) uint8. Other dtypes are scaled by their own minimum and maximum."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = np.round((image.astype(np.float32) - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image[..., :3]


def thumbnail(folder: Path, key: Sequence[object], picture: Callable[[], np.ndarray]) -> Image.Image:
    """Return a small picture, kept in a folder.

    Args:
        folder: folder of kept thumbnails; it is made.
        key: name and state of the image file.
        picture: returns the picture (H,W,3) uint8; called if no thumbnail is kept.
    """
    found = kept_thumbnail(folder, key)
    if found is not None:
        return found
    small = Image.fromarray(picture())
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    with whole_in_new_folder(_file(folder, key)) as part:
        small.save(part, format="PNG")
    return small


def kept_thumbnail(folder: Path, key: Sequence[object]) -> Image.Image | None:
    """Return a small picture that was made before; None if there is none, or it is damaged."""
    with suppress(OSError, SyntaxError, ValueError):  # Pillow raises these for damaged files
        return Image.open(_file(folder, key)).convert("RGB")
    return None


def _file(folder: Path, key: Sequence[object]) -> Path:
    return folder / f"{digest('-'.join(map(str, key)))}.png"


def for_browser(picture: np.ndarray | Image.Image) -> str:
    """Write a picture (H,W,3) or (H,W,4) into the private folder of the page, unless it is there. Return its path.

    Gradio would write an array anew each time, also while the browser fetches the same file.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    name = hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).hexdigest()
    file = Path(os.environ["GRADIO_TEMP_DIR"]) / "shown" / f"{name}.png"
    if not file.exists():
        with whole_in_new_folder(file) as part:
            image.save(part, format="PNG", compress_level=1)
    return str(file)


@contextmanager
def whole_in_new_folder(file: Path) -> Iterator[Path]:
    """Yield a path to write to, as `whole_file` does; the folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as part:
        yield part


def digest(text: str) -> str:
    """Return a short name for a file from any text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


CORNERS = ((0, 0), (0, -1), (-1, 0), (-1, -1))
MARKS = (4, 20)  # opacities of marks, from and to, of 255: invisible, and below VISIBLE
VISIBLE = 24  # alpha from which a pixel counts as painted; the soft edge of a brush stays below
OUTLINE_INSIDE = 0.12  # opacity inside an outline: enough to be read back, too little to hide the image
NEAR = 40.0  # largest distance of colours, in 0..255, at which a pixel keeps its class


class Style(Enum):
    """Style of a mask over its image."""

    FILL = "fill"
    OUTLINE = "outline"


@dataclass(frozen=True)
class Layer:
    """One painted layer.

    Attributes:
        pixels: (H,W,4) uint8 RGBA.
        values: (H,W) int32 class values that the pixels were drawn from; 0 is not painted.
        mark: faint opacity of each corner that is not painted, different in every layer.
    """

    pixels: np.ndarray
    values: np.ndarray
    mark: tuple[int, int, int, int]

    def is_shown(self, painted: np.ndarray) -> bool:
        """Return whether an edited layer began from this one, not from an earlier one.

        A browser draws a layer some time after it was sent. A mask saved in between would be empty, or of another
        image. The faint marks in the corners show which layer was edited.
        """
        if painted.shape != self.pixels.shape:
            return False
        found = [(int(painted[c][3]), int(self.pixels[c][3])) for c in CORNERS if self.values[c] == 0]
        kept = sum(alpha == mark for alpha, mark in found)
        wrong = sum(0 < alpha < VISIBLE and alpha != mark for alpha, mark in found)
        covered = all(alpha >= VISIBLE for alpha, _ in found)
        return kept > wrong or (covered and bool(painted[..., 3].any()))


def draw_layer(
    values: np.ndarray, colours: Mapping[int, str], *, opacity: float = 0.5, style: Style = Style.FILL
) -> Layer:
    """Draw class values as a layer.

    Args:
        values: (H,W) class values; 0 is not painted.
        colours: colour of each class value, as matplotlib reads colours.
        opacity: opacity of painted pixels, in [0.1, 1].
        style: filled areas, or outlines around nearly clear areas.
    """
    values = np.asarray(values).astype(np.int32)
    pixels = np.zeros((*values.shape, 4), np.uint8)
    for value, colour in colours.items():
        pixels[values == value, :3] = _rgb(colour)
    alpha = np.where(values != 0, round(255 * opacity), 0)
    if style is Style.OUTLINE:
        alpha = np.where(values != 0, round(255 * OUTLINE_INSIDE), 0)
        alpha[_borders(values)] = 255
    pixels[..., 3] = alpha
    marks = [secrets.randbelow(MARKS[1] - MARKS[0] + 1) + MARKS[0] for _ in CORNERS]
    for corner, opacity in zip(CORNERS, marks, strict=True):
        if values[corner] == 0:
            pixels[corner] = (0, 0, 0, opacity)
    return Layer(pixels, values, (marks[0], marks[1], marks[2], marks[3]))


def read_layer(painted: np.ndarray, drawn: Layer, colours: Mapping[int, str]) -> np.ndarray:
    """Read class values from a layer that was painted on.

    A brush that is not opaque mixes its colour with the one below. A changed pixel therefore lies between the colour
    that was drawn and the colour of the brush; it takes the class whose brush explains it best.

    Args:
        painted: (H,W,4) uint8 RGBA, the layer after editing.
        drawn: the layer before editing.
        colours: colour of each class value, as passed to `draw_layer`.

    Returns:
        (H,W) int32 class values; 0 where the layer is clear.
    """
    values = drawn.values.copy()
    same = (painted == drawn.pixels).all(axis=-1) | ((painted[..., 3] < VISIBLE) & (drawn.values == 0))
    changed = np.nonzero(~same)
    if not len(changed[0]):
        return values
    new, old = painted[changed].astype(np.float64), drawn.pixels[changed].astype(np.float64)
    old[drawn.values[changed] == 0] = 0  # a mark is no colour
    codes = np.array(list(colours), np.int32)
    brushes = np.array([_rgb(colour) for colour in colours.values()], np.float64)
    distances = np.stack([_distance_to_segment(new[:, :3], old, brush) for brush in brushes], axis=1)
    found = codes[distances.argmin(axis=1)]
    # A pixel that still has its own colour keeps its class, whatever became of its opacity.
    own = (old[:, 3] > 0) & (np.linalg.norm(new[:, :3] - old[:, :3], axis=1) < NEAR)
    found = np.where(own, drawn.values[changed], found)
    values[changed] = np.where(new[:, 3] < VISIBLE, 0, found)
    return values


def _distance_to_segment(colours: np.ndarray, old: np.ndarray, brush: np.ndarray) -> np.ndarray:
    """Return the distance (N,) of colours (N,3) from the segments between old colours (N,4) and one brush (3,).

    The part next to the old colour is left out: there every brush explains a pixel equally well. If nothing was drawn,
    the colour must equal the brush's.
    """
    start = np.where(old[:, 3:] > 0, old[:, :3] + 0.3 * (brush - old[:, :3]), brush)
    along = brush - start
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    part = np.clip(((colours - start) * along).sum(axis=1) / length, 0, 1)
    return np.linalg.norm(colours - (start + part[:, None] * along), axis=1)


def _borders(values: np.ndarray) -> np.ndarray:
    """Return where painted pixels (H,W) touch another class or the image's edge."""
    padded = np.pad(values, 1)
    centre = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (centre != 0) & np.any([neighbour != centre for neighbour in neighbours], axis=0)


def _rgb(colour: str) -> np.ndarray:
    return np.round(np.array(to_rgb(colour)) * 255).astype(np.uint8)
