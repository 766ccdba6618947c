"""Opening picture files safely, and reading one image as an array.

PNG, JPEG, BMP and TIFF are read, told apart by their content and not by their extension.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from universeg_jax.errors import InputError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 64_000_000  # 8000x8000: larger than radiographs and usual slide crops, yet safe to decode


def open_picture(path: Path) -> Image.Image:
    """Decode one picture, turned upright when its EXIF data say so.

    Raises:
        InputError: a missing, foreign, damaged or truncated file, one of more than MAX_PIXELS pixels, of
            several pages or frames, or of 16 bits per colour channel (Pillow would keep 8).
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which do not matter here, and of size, which MAX_PIXELS answers.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as picture:
                _check_header(path, picture)
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)
                return picture
    except (InputError, KeyboardInterrupt):
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path}: has far more than the {MAX_PIXELS:,} pixels that are read: crop or shrink it"
        ) from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: is not a PNG, JPEG, BMP or TIFF image, or its beginning is damaged") from None
    except Exception as error:  # damaged files make Pillow's decoders raise almost anything
        raise InputError(f"{path}: cannot be read; the file is damaged or cut short ({error})") from error


def _check_header(path: Path, picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: has {width}x{height} = {width * height:,} pixels; at most {MAX_PIXELS:,} are read: "
            "crop or shrink it"
        )
    pages = getattr(picture, "n_frames", 1)
    if pages > 1 and picture.format != "MPO":  # the further frames of a phone's MPO file are previews
        raise InputError(f"{path}: has {pages} pages; save each page as a file of its own")
    if len(picture.getbands()) > 1 and any(";16" in str(tile[3]) for tile in picture.tile):
        raise InputError(
            f"{path}: has 16 bits per colour channel, of which half would be lost: "
            "save it as 8-bit colour or 16-bit grey"
        )


def read_image(path: Path) -> np.ndarray:
    """Read one image: (H,W) grey or (H,W,3) colour; uint8, uint16 or float32.

    Transparency is dropped; palette, CMYK and YCbCr images become RGB; 1-bit images become 0 and 255; 32-bit
    integers become float32.

    Raises:
        InputError: what `open_picture` refuses, and NaN or infinity.
    """
    picture = open_picture(path)
    if picture.mode in ("L", "F", "I") or picture.mode.startswith("I;16"):
        array = np.asarray(picture)
    elif picture.mode == "1":
        array = np.asarray(picture.convert("L"))
    elif picture.mode in ("LA", "La"):
        array = np.asarray(picture.convert("LA"))[..., 0]
    else:
        array = _colour(path, picture)
    if picture.mode.startswith("I;16"):
        array = array.astype(np.uint16)  # I;16B is big-endian
    elif picture.mode in ("I", "F"):
        array = array.astype(np.float32)
        check_finite(path, array)
    return array


def _colour(path: Path, picture: Image.Image) -> np.ndarray:
    try:
        return np.asarray(picture.convert("RGBA"))[..., :3]
    except ValueError:
        raise InputError(f"{path}: has the colour mode {picture.mode}; save it as grey or RGB") from None


def check_finite(path: Path, array: np.ndarray) -> None:
    """Refuse NaN and infinity, saying how many there are and where the first one is."""
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: {bad.sum()} of {bad.size} values are NaN or infinite, "
            f"the first in row {row}, column {column}: replace them before segmenting"
        )
