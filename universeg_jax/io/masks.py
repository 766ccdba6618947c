"""Reading and writing masks, whose pixel values are classes.

Three codings are told apart: grey values, indices of a palette, and colours. What is written has the coding
of what was read.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.pictures import check_finite, open_picture

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class GreyCoding:
    """The pixel value is the class; written with 8 bits, or 16 when a class value needs them."""

    wide: bool = False
    kind: ClassVar[str] = "grey values"

    def name(self, value: int) -> str:
        """What a class is called when it has no other name."""
        return str(value)

    def picture(self, values: np.ndarray) -> Image.Image:
        """The picture that holds these class values (H,W)."""
        return Image.fromarray(values.astype(np.uint16 if self.wide else np.uint8))


@dataclass(frozen=True)
class PaletteCoding:
    """The palette index is the class; the palette only colours it."""

    colours: tuple[Colour, ...]
    kind: ClassVar[str] = "palette indices"

    def name(self, value: int) -> str:
        """What a class is called when it has no other name."""
        return str(value)

    def picture(self, values: np.ndarray) -> Image.Image:
        """The picture that holds these class values (H,W)."""
        picture = Image.fromarray(values.astype(np.uint8))
        picture.putpalette([channel for colour in self.colours for channel in colour])
        return picture


@dataclass(frozen=True)
class ColourCoding:
    """The colour is the class; its value is the integer 0xRRGGBB."""

    kind: ClassVar[str] = "colours"

    def name(self, value: int) -> str:
        """What a class is called when it has no other name."""
        return f"#{value:06x}"

    def picture(self, values: np.ndarray) -> Image.Image:
        """The picture that holds these class values (H,W)."""
        return Image.fromarray(np.stack([values >> 16, values >> 8 & 255, values & 255], axis=-1).astype(np.uint8))


MaskCoding = GreyCoding | PaletteCoding | ColourCoding


@dataclass(frozen=True)
class Mask:
    """One mask: class values (H,W) int32 and the coding they were read from."""

    path: Path
    values: np.ndarray
    coding: MaskCoding


def read_mask(path: Path) -> Mask:
    """Read one mask.

    1-bit masks become 0 and 255; RGB masks without colour count as grey; what is fully transparent becomes 0;
    float masks must hold whole numbers. JPEG blurs values, so a JPEG mask is read only when it is black and
    white: it is cut at 128 into 0 and 255, with a warning.

    Raises:
        InputError: what `open_picture` refuses, and pixels that are not classes.
    """
    picture = open_picture(path)
    if picture.format in ("JPEG", "MPO") or picture.info.get("compression") in ("jpeg", "tiff_jpeg"):
        return Mask(path, _black_and_white(path, picture), GreyCoding())
    if picture.mode == "P":
        channels = iter(picture.getpalette("RGB"))
        return Mask(
            path,
            np.asarray(picture).astype(np.int32),
            PaletteCoding(tuple(zip(channels, channels, channels, strict=True))),
        )
    if picture.mode in ("1", "L", "I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
        return _grey(path, _whole(path, values))
    if picture.mode not in ("LA", "RGB", "RGBA"):
        raise InputError(f"{path}: has the colour mode {picture.mode}; save masks as grey, palette or RGB")
    red, green, blue = np.moveaxis(_opaque(path, picture), -1, 0)
    if (red == green).all() and (green == blue).all():
        return _grey(path, red)
    return Mask(path, red << 16 | green << 8 | blue, ColourCoding())


def write_mask(path: Path, values: np.ndarray, coding: MaskCoding) -> None:
    """Write class values (H,W) as a PNG of this coding."""
    coding.picture(np.asarray(values)).save(path, format="PNG")


def common_coding(masks: Sequence[Mask]) -> MaskCoding:
    """The coding that holds all of these masks: colours if one of them is coloured, else what they are.

    Raises:
        InputError: palettes that give an index two colours.
    """
    if any(isinstance(mask.coding, ColourCoding) for mask in masks):
        return ColourCoding()
    palettes = [mask for mask in masks if isinstance(mask.coding, PaletteCoding)]
    if palettes:
        return _common_palette(palettes)
    return GreyCoding(wide=any(mask.coding.wide for mask in masks))


def values_in(mask: Mask, coding: MaskCoding) -> np.ndarray:
    """The class values (H,W) of a mask as another coding writes them: grey among colours becomes a colour.

    Raises:
        InputError: the mask cannot be said in that coding, so its values would mean something else.
    """
    if isinstance(coding, ColourCoding) and mask.coding == GreyCoding(wide=False):
        return mask.values * 0x010101
    if type(mask.coding) is not type(coding):
        raise InputError(
            f"{mask.path}: its classes are {mask.coding.kind}, those of other masks {coding.kind}; "
            "save all masks in one way, so that values mean the same"
        )
    if isinstance(coding, PaletteCoding):
        _common_palette([Mask(mask.path, mask.values, coding), mask])
    return mask.values


def _black_and_white(path: Path, picture: Image.Image) -> np.ndarray:
    grey = np.asarray(picture.convert("L"))
    between = ((grey > 64) & (grey < 192)).mean()
    if between > 0.02 or 0 < grey.max() < 128:
        raise InputError(
            f"{path}: JPEG changes pixel values and this mask is not plainly black and white ({between:.0%} "
            f"of the pixels lie between, the largest is {grey.max()}): save it as PNG from its source"
        )
    # Named by folder, so that a hundred of them are one warning.
    warnings.warn(f"{path.parent}: JPEG masks, cut at 128 into 0 and 255", SegmentationWarning, stacklevel=3)
    return np.where(grey < 128, 0, 255).astype(np.int32)


def _whole(path: Path, values: np.ndarray) -> np.ndarray:
    check_finite(path, values)
    if (values != np.round(values)).any():
        raise InputError(
            f"{path}: mask values must be whole numbers; it holds {values[values != np.round(values)][0]:.6g}"
        )
    return values


def _grey(path: Path, values: np.ndarray) -> Mask:
    if values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"{path}: mask values must lie between 0 and 65535; they run from {values.min():g} to {values.max():g}"
        )
    return Mask(path, values.astype(np.int32), GreyCoding(wide=bool(values.max() > 255)))


def _opaque(path: Path, picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture.convert("RGBA")).astype(np.int32)
    alpha = pixels[..., 3:]
    if ((alpha > 0) & (alpha < 255)).any():
        raise InputError(f"{path}: mask is partly transparent; save it without transparency")
    return np.where(alpha > 0, pixels[..., :3], 0)


def _common_palette(masks: Sequence[Mask]) -> PaletteCoding:
    colours: dict[int, Colour] = {}
    for mask in masks:
        palette = dict(enumerate(mask.coding.colours))
        for index in np.unique(mask.values).tolist():
            colour = palette.get(index, (0, 0, 0))
            if colours.setdefault(index, colour) != colour:
                raise InputError(
                    f"{mask.path}: its palette gives index {index} the colour {colour}, another mask "
                    f"{colours[index]}; save all masks with one palette, or as RGB"
                )
    longest = max((mask.coding.colours for mask in masks), key=len)
    return PaletteCoding(tuple(colours.get(index, colour) for index, colour in enumerate(longest)))
