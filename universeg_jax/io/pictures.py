"""Decode picture files safely, and read one image as an array.

PNG, JPEG, BMP and TIFF are read. The content of a file shows its format; its extension does not matter.
"""

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.tiff import MOST_DEFLATED, RGB, WHITE_IS_ZERO, Tiff, is_tiff, read_tiff
from universeg_jax.io.tiff import PALETTE as TIFF_PALETTE
from universeg_jax.util.files import check_regular

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 64_000_000  # 8000x8000: larger than radiographs and usual slide crops, yet safe to decode
ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class Picture:
    """Decoded picture, upright by its EXIF data.

    Attributes:
        kind: "bilevel" has values 0 and 1, "palette" has indices.
        values: (H,W) as stored, or (H,W,3) for colour.
        alpha: (H,W) uint8, 0 is transparent; None without transparency.
        white: largest grey value, if 0 is white; else None.
        palette: (N,3) uint8 for "palette".
        lossy: whether the compression changes values, as JPEG does.
        converted: the colour space that was converted to RGB, such as "CMYK".
    """

    kind: Literal["bilevel", "grey", "palette", "colour"]
    values: np.ndarray
    alpha: np.ndarray | None = None
    white: int | None = None
    palette: np.ndarray | None = None
    lossy: bool = False
    converted: str = ""

    @property
    def colours(self) -> np.ndarray:
        """The palette; empty without one."""
        return np.zeros((0, 3), np.uint8) if self.palette is None else self.palette


def read_image(path: Path) -> np.ndarray:
    """Read one image: (H,W) grey or (H,W,3) colour; uint8, uint16, float32 or float64.

    Transparency is dropped. Palette, CMYK and YCbCr images become RGB; 1-bit images become 0 and 255. Images of which 0
    is white are inverted. Other integers and half floats become the next float that holds their values.

    Raises:
        InputError: a file that `decode` refuses, and NaN or infinity.
    """
    picture = decode(path)
    values = picture.values
    if picture.white is not None:
        values = picture.white - values
    if picture.kind == "bilevel":
        return values * np.uint8(255)
    if picture.kind == "palette":
        return _coloured(path, picture)
    if values.dtype in (np.uint8, np.uint16):
        return values
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: holds {values.dtype} values; save it as integers or floats")
    values = values.astype(np.float32 if values.dtype.itemsize < 4 or values.dtype == np.float32 else np.float64)
    check_finite(path, values)
    return values


def decode(path: Path) -> Picture:
    """Decode one picture file.

    Raises:
        InputError: a missing, foreign, damaged or truncated file, more than `MAX_PIXELS` pixels, several pages or
            frames, channels without a meaning, or 16-bit colour that Pillow would cut to 8 bits.
    """
    if os.path.lexists(path):
        check_regular(path)
    try:
        if is_tiff(path):
            tiff = read_tiff(path, lambda width, height: _check_size(path, width, height))
            if tiff is not None:
                return _from_tiff(path, tiff)
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which do not matter here, and of size, which MAX_PIXELS limits.
            warnings.simplefilter("ignore")
            # From memory: with a file, a damaged length would be allocated before any byte is read.
            with Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS) as picture:
                _check_header(path, picture)
                picture.load()
                lossy = picture.format in ("JPEG", "MPO") or picture.info.get("compression") in ("jpeg", "tiff_jpeg")
                ImageOps.exif_transpose(picture, in_place=True)
                return _from_pillow(path, picture, lossy=lossy)
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
    except Exception as error:  # damaged files make the decoders raise almost anything
        raise InputError(f"{path}: cannot be read; the file is damaged or cut short ({error})") from error


def is_turned(path: Path) -> bool:
    """Tell whether EXIF data turn or mirror a picture, from its header alone."""
    try:
        check_regular(path)
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as picture:
            warnings.simplefilter("ignore")
            return picture.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:  # the file is decoded elsewhere, with an error that names it
        return False


def check_finite(path: Path, array: np.ndarray) -> None:
    """Refuse NaN and infinity, with their number and the place of the first."""
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0][:2]
        raise InputError(
            f"{path}: {bad.sum()} of {bad.size} values are NaN or infinite, "
            f"the first in row {row}, column {column}: replace them before segmenting"
        )


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: has {width}x{height} = {width * height:,} pixels; at most {MAX_PIXELS:,} are read: "
            "crop or shrink it"
        )


def _check_header(path: Path, picture: Image.Image) -> None:
    _check_size(path, *picture.size)
    width, height = picture.size
    if picture.format == "PNG" and width * height > 8 * MOST_DEFLATED * path.stat().st_size:
        raise InputError(
            f"{path}: its header promises {width}x{height} pixels, more than the file can hold; it is damaged"
        )
    pages = getattr(picture, "n_frames", 1)
    if pages > 1 and picture.format != "MPO":  # the further frames of a phone's MPO file are previews
        raise InputError(f"{path}: has {pages} pages; save each page as a file of its own")
    if len(picture.getbands()) > 1 and any(";16" in str(tile[3]) for tile in picture.tile):
        raise InputError(
            f"{path}: has 16 bits per colour channel, of which half would be lost: "
            "save it as 8-bit colour or 16-bit grey"
        )


def _from_pillow(path: Path, picture: Image.Image, *, lossy: bool) -> Picture:
    if picture.mode == "1":
        return Picture("bilevel", np.asarray(picture).astype(np.uint8), lossy=lossy)
    if picture.mode == "P":
        palette = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return Picture("palette", np.asarray(picture), palette=palette)
    if picture.mode in ("L", "I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        return Picture("grey", values.astype(np.uint16) if picture.mode.startswith("I;16") else values, lossy=lossy)
    if picture.mode in ("LA", "La"):
        values = np.asarray(picture.convert("LA"))
        return Picture("grey", values[..., 0], values[..., 1], lossy=lossy)
    try:
        rgba = np.asarray(picture.convert("RGBA"))
    except ValueError:
        raise InputError(f"{path}: has the colour mode {picture.mode}; save it as grey or RGB") from None
    converted = "" if picture.mode in ("RGB", "RGBA", "RGBa", "RGBX") else picture.mode
    alpha = rgba[..., 3] if picture.mode in ("RGBA", "RGBa") or "transparency" in picture.info else None
    return Picture("colour", rgba[..., :3], alpha, lossy=lossy, converted=converted)


def _from_tiff(path: Path, tiff: Tiff) -> Picture:
    samples, extra = _turned(tiff.samples, tiff.orientation), tiff.extra
    alpha = None
    if extra:
        alpha = _alpha_of(path, tiff, samples)
    if tiff.photometric == TIFF_PALETTE and tiff.palette is not None:
        return Picture("palette", samples[..., 0], palette=tiff.palette, lossy=tiff.lossy)
    if tiff.photometric == RGB:
        return Picture("colour", samples[..., :3], alpha, lossy=tiff.lossy)
    values, white = samples[..., 0], None
    if tiff.photometric == WHITE_IS_ZERO:
        if values.dtype.kind not in "bu":
            raise InputError(f"{path}: holds {values.dtype} values of which 0 is white; save them with black as 0")
        white = 2**tiff.bits - 1
    if tiff.bits == 1:
        return Picture("bilevel", values.astype(np.uint8), white=white)
    return Picture("grey", values, alpha, white, lossy=tiff.lossy)


def _alpha_of(path: Path, tiff: Tiff, samples: np.ndarray) -> np.ndarray | None:
    """Alpha channel (H,W) uint8 of a TIFF file, None if the channels beyond the colour hold something else."""
    if tiff.extra[0] in (1, 2):
        alpha = samples[..., -len(tiff.extra)]
        return ((alpha != 0) * 254 + (alpha == alpha.dtype.type(2**tiff.bits - 1))).astype(np.uint8)
    channels = samples.shape[-1]
    if tiff.photometric != RGB:
        raise InputError(f"{path}: has {channels} channels of unknown meaning; save the channel to segment alone")
    warnings.warn(
        f"{path}: has {channels} channels; the first three are read as colour, the others have no stated meaning",
        SegmentationWarning,
        stacklevel=4,
    )
    return None


def _turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an array (H,W,...) upright by an EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _coloured(path: Path, picture: Picture) -> np.ndarray:
    palette = picture.colours
    if picture.values.max() >= len(palette):
        raise InputError(f"{path}: holds the index {picture.values.max()}, and its palette has {len(palette)} colours")
    return palette[picture.values]
