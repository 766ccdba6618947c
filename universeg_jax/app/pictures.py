"""Pictures for the screen: images as uint8 colours, and thumbnails that are made once and kept."""

import hashlib
import os
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
    found = kept_thumbnail(folder, key)
    if found is not None:
        return found
    small = Image.fromarray(picture())
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    with whole_in_new_folder(_file(folder, key)) as part:
        small.save(part, format="PNG")
    return small


def kept_thumbnail(folder: Path, key: Sequence[object]) -> Image.Image | None:
    """Return a small picture that was made before; None where there is none, or it is damaged."""
    with suppress(OSError, SyntaxError, ValueError):  # Pillow raises these of damaged files
        return Image.open(_file(folder, key)).convert("RGB")
    return None


def _file(folder: Path, key: Sequence[object]) -> Path:
    return folder / f"{digest('-'.join(map(str, key)))}.png"


def for_browser(picture: np.ndarray | Image.Image) -> str:
    """Write a picture (H,W,3) or (H,W,4) into the private folder of the page, once, and return its path.

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
