"""Pictures for the screen: images as uint8 colours, and thumbnails that are made once and kept."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
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
    kept = folder / f"{digest('-'.join(map(str, key)))}.png"
    if kept.is_file():
        with suppress(OSError):  # damaged: make it again
            return Image.open(kept).convert("RGB")
    small = Image.fromarray(picture())
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    with whole_in_new_folder(kept) as part:
        small.save(part, format="PNG")
    return small


@contextmanager
def whole_in_new_folder(file: Path) -> Iterator[Path]:
    """Yield a path to write to, as `whole_file` does; the folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as part:
        yield part


def digest(text: str) -> str:
    """Return a short name for a file from any text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
