"""Read and write masks. Pixel values are classes.

Classes are coded as grey values, as indices of a palette, or as colours. Masks are written in the coding of the masks
that were read.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.mask_values import check_colours, class_values
from universeg_jax.io.pictures import Picture, check_finite, decode

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class GreyCoding:
    """Coding by pixel value, with 8 bits, or 16 where a class value needs them."""

    wide: bool = False
    kind: ClassVar[str] = "grey values"

    def name(self, value: int) -> str:
        """Name of a class that has no other name."""
        return str(value)

    def colours(self, values: Sequence[int]) -> dict[int, str]:
        """Colours of class values that a picture of the masks should show: none."""
        return {}

    def picture(self, values: np.ndarray) -> Image.Image:
        """Make the picture that holds these class values (H,W)."""
        return Image.fromarray(values.astype(np.uint16 if self.wide else np.uint8))


@dataclass(frozen=True)
class PaletteCoding:
    """Coding by palette index; the palette only colours it."""

    palette: tuple[Colour, ...]
    kind: ClassVar[str] = "palette indices"

    def name(self, value: int) -> str:
        """Name of a class that has no other name."""
        return str(value)

    def colours(self, values: Sequence[int]) -> dict[int, str]:
        """Colours of class values for a picture of the masks: all colours of the palette that are not grey."""
        known = {value: self.palette[value] for value in values if value < len(self.palette)}
        return {value: _hex(colour) for value, colour in known.items() if len(set(colour)) > 1}

    def picture(self, values: np.ndarray) -> Image.Image:
        """Make the picture that holds these class values (H,W)."""
        picture = Image.fromarray(values.astype(np.uint8))
        picture.putpalette([channel for colour in self.palette for channel in colour])
        return picture


@dataclass(frozen=True)
class ColourCoding:
    """Coding by colour; the class value is the integer 0xRRGGBB."""

    kind: ClassVar[str] = "colours"

    def name(self, value: int) -> str:
        """Name of a class that has no other name."""
        return f"#{value:06x}"

    def colours(self, values: Sequence[int]) -> dict[int, str]:
        """Colours of class values that a picture of the masks should show: the classes themselves."""
        return {value: self.name(value) for value in values}

    def picture(self, values: np.ndarray) -> Image.Image:
        """Make the picture that holds these class values (H,W)."""
        return Image.fromarray(np.stack([values >> 16, values >> 8 & 255, values & 255], axis=-1).astype(np.uint8))


MaskCoding = GreyCoding | PaletteCoding | ColourCoding


@dataclass(frozen=True)
class Mask:
    """One mask: class values (H,W) int32, and their coding."""

    path: Path
    values: np.ndarray
    coding: MaskCoding


def read_mask(path: Path) -> Mask:
    """Read one mask, and turn blurred binary masks into binary ones (see `mask_values`).

    Raises:
        InputError: a file that `read_stored_mask` refuses, and values that are not classes.

    Warns:
        SegmentationWarning: a blurred mask that was cut into two values.
    """
    mask = read_stored_mask(path)
    if isinstance(mask.coding, ColourCoding):
        check_colours(np.stack([mask.values >> 16, mask.values >> 8 & 255, mask.values & 255], axis=-1), str(path))
    elif isinstance(mask.coding, GreyCoding):
        return replace(mask, values=class_values(mask.values, str(path)))
    return mask


def read_stored_mask(path: Path) -> Mask:
    """Read one mask with the values that the file stores.

    1-bit masks become 0 and 255; RGB masks without colour become grey; transparent pixels become 0. The values of float
    masks must be whole numbers. JPEG changes values, so a JPEG mask must be black and white: it is cut at 128 into 0
    and 255, with a warning.

    Raises:
        InputError: a file that `decode` refuses, and pixels that are not classes.
    """
    picture = decode(path)
    if picture.lossy:
        return Mask(path, _black_and_white(path, picture), GreyCoding())
    if picture.kind == "palette":
        palette = tuple(tuple(colour) for colour in picture.colours.tolist())
        return Mask(path, picture.values.astype(np.int32), PaletteCoding(palette))
    if picture.kind == "bilevel":
        return Mask(path, picture.values.astype(np.int32) * 255, GreyCoding())
    if picture.converted:
        raise InputError(f"{path}: has the colour mode {picture.converted}; save masks as grey, palette or RGB")
    if picture.kind == "grey":
        values = picture.values if picture.alpha is None else _opaque(path, picture)
        return _grey(path, _whole(path, values))
    if picture.values.dtype != np.uint8:
        raise InputError(f"{path}: has {picture.values.dtype} colours; save masks as grey, palette or 8-bit RGB")
    red, green, blue = np.moveaxis(_opaque(path, picture).astype(np.int32), -1, 0)
    if (red == green).all() and (green == blue).all():
        return _grey(path, red)
    return Mask(path, red << 16 | green << 8 | blue, ColourCoding())


def write_mask(path: Path, values: np.ndarray, coding: MaskCoding) -> None:
    """Write class values (H,W) as a PNG of this coding."""
    coding.picture(np.asarray(values)).save(path, format="PNG")


def common_coding(masks: Sequence[Mask]) -> MaskCoding:
    """Find the coding that holds all of these masks: colours if one mask is coloured, else the coding of the masks.

    Raises:
        InputError: palettes that give an index two colours.
    """
    if any(isinstance(mask.coding, ColourCoding) for mask in masks):
        return ColourCoding()
    palettes = [(mask, mask.coding.palette) for mask in masks if isinstance(mask.coding, PaletteCoding)]
    if palettes:
        return _common_palette(palettes)
    return GreyCoding(wide=any(isinstance(mask.coding, GreyCoding) and mask.coding.wide for mask in masks))


def values_in(mask: Mask, coding: MaskCoding) -> np.ndarray:
    """Convert the class values (H,W) of a mask to another coding: a grey mask among colours becomes coloured.

    Raises:
        InputError: a mask whose values would mean something else in that coding.
    """
    if isinstance(coding, ColourCoding) and mask.coding == GreyCoding(wide=False):
        return mask.values * 0x010101
    if type(mask.coding) is not type(coding):
        raise InputError(
            f"{mask.path}: its classes are {mask.coding.kind}, and other masks have {coding.kind}; "
            "save all masks in the same way, so that values mean the same"
        )
    if isinstance(coding, PaletteCoding):
        own = mask.coding.palette if isinstance(mask.coding, PaletteCoding) else coding.palette
        _common_palette([(mask, coding.palette), (mask, own)])
    return mask.values


def _black_and_white(path: Path, picture: Picture) -> np.ndarray:
    grey = picture.values if picture.values.ndim == 2 else np.asarray(Image.fromarray(picture.values).convert("L"))
    between = ((grey > 64) & (grey < 192)).mean()
    if between > 0.02 or 0 < grey.max() < 128:
        raise InputError(
            f"{path}: JPEG changes pixel values, and this mask is not clearly black and white ({between:.0%} "
            f"of the pixels lie between, the largest is {grey.max()}): save it as PNG from its source"
        )
    # Named by folder, so that a hundred masks give one warning.
    warnings.warn(f"{path.parent}: JPEG masks, cut at 128 into 0 and 255", SegmentationWarning, stacklevel=4)
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


def _opaque(path: Path, picture: Picture) -> np.ndarray:
    """Values with 0 where the picture is transparent."""
    if picture.alpha is None:
        return picture.values
    if ((picture.alpha > 0) & (picture.alpha < 255)).any():
        raise InputError(f"{path}: mask is partly transparent; save it without transparency")
    opaque = picture.alpha > 0
    return np.where(opaque if picture.values.ndim == 2 else opaque[..., None], picture.values, 0)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _common_palette(masks: Sequence[tuple[Mask, tuple[Colour, ...]]]) -> PaletteCoding:
    colours: dict[int, Colour] = {}
    for mask, own in masks:
        palette = dict(enumerate(own))
        for index in np.unique(mask.values).tolist():
            colour = palette.get(index, (0, 0, 0))
            if colours.setdefault(index, colour) != colour:
                raise InputError(
                    f"{mask.path}: its palette gives index {index} the colour {colour}, another mask "
                    f"{colours[index]}; save all masks with one palette, or as RGB"
                )
    longest = max((own for _, own in masks), key=len)
    return PaletteCoding(tuple(colours.get(index, colour) for index, colour in enumerate(longest)))
