"""From images of any size and dtype to the arrays that a model takes, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from universeg_jax.errors import InputError

Arrays = ArrayLike | Sequence[ArrayLike]
"""Several images or labels: a list of arrays of any sizes, or one array with all of them."""


def entries(arrays: Arrays, names: Sequence[str] | None, *, kind: str) -> tuple[list[np.ndarray], list[str]]:
    """The images or labels one by one, each with the name that messages call it by.

    Args:
        arrays: a list of arrays, or one array (N,H,W) or (N,H,W,C).
        names: one name per entry; None gives "<kind> 0", "<kind> 1", ...
        kind: what an entry is, in the singular: "image", "support image", "label".

    Raises:
        InputError: for no entries, for a single image where several are expected, for a wrong number of names.
    """
    listed = _listed(arrays, kind)
    if not listed:
        raise InputError(f"there is no {kind}: at least one is needed")
    if names is None:
        return listed, [f"{kind} {i}" for i in range(len(listed))]
    if len(names) != len(listed):
        raise InputError(f"{len(names)} names for {len(listed)} {kind}s: pass one name for each, or none")
    return listed, [str(name) for name in names]


def is_list(arrays: Arrays) -> bool:
    """Whether images were given one by one, so that results are returned one by one."""
    return isinstance(arrays, list | tuple)


def _listed(arrays: Arrays, kind: str) -> list[np.ndarray]:
    try:
        if is_list(arrays):
            return [np.asarray(array) for array in arrays]
        array = np.asarray(arrays)
    except ValueError as error:  # nested lists with rows of unequal length
        raise InputError(f"{kind}s are not arrays of numbers: {error}") from error
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4)):
        raise InputError(
            f"an array of shape {array.shape} looks like one {kind} where several are expected: "
            f"pass a list, [{kind.split()[-1]}]"
        )
    if array.ndim not in (3, 4):
        raise InputError(f"{kind}s of shape {array.shape}: pass a list of arrays, or one array (N,H,W) or (N,H,W,C)")
    return list(array)


def checked_image(image: np.ndarray, name: str) -> np.ndarray:
    """The image as (H,W,C): C is 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.

    Raises:
        InputError: for another shape, no pixels, a dtype that is not a number, NaN or infinity.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not 1 <= image.shape[-1] <= 4:
        raise InputError(f"{name} has shape {image.shape}: images are (H,W), (H,W,3) or (H,W,4), height first")
    return _checked_values(image, name)


def checked_label(label: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """The label as (H,W), of the same height and width as its image, called `name`.

    Raises:
        InputError: for another shape, a dtype that is not a number, NaN or infinity.
    """
    if label.ndim == 3 and label.shape[-1] == 1:
        label = label[..., 0]
    if label.ndim != 2:
        raise InputError(f"the label of {name} has shape {label.shape}: labels are (H,W), one class value a pixel")
    if label.shape != size:
        raise InputError(
            f"{name} is {size[0]}x{size[1]} but its label is {label.shape[0]}x{label.shape[1]}: "
            "a label has one value for each pixel of its image"
        )
    return _checked_values(label, f"the label of {name}")


def _checked_values(array: np.ndarray, name: str) -> np.ndarray:
    if array.size == 0:
        raise InputError(f"{name} has shape {array.shape}, so no pixels")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {array.dtype}: pass booleans, integers or floats")
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise InputError(
            f"{name} has NaN or infinity in {bad} of {array.size} values: replace them, e.g. np.nan_to_num"
        )
    return array


LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV convert to grey


def checked_window(window: tuple[float, float] | None) -> tuple[float, float] | None:
    """The window as two floats; InputError unless it is finite with low < high."""
    if window is None:
        return None
    low, high = (float(edge) for edge in window)
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"window=({low:g}, {high:g}): pass two finite intensities, the lower first")
    return low, high


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert between grey and colour.

    Args:
        image: (H,W,C), C being 1 grey, 2 grey and alpha, 3 colour or 4 colour and alpha. Alpha is dropped.
        channels: 1 takes the luminance of a colour image, 3 repeats a grey one.

    Returns:
        (H,W,channels), float64: differences of 16-bit intensities stay exact until they are in [0,1].
    """
    colours = image[..., : 1 if image.shape[-1] <= 2 else 3]
    if channels == 3:
        return np.broadcast_to(colours.astype(np.float64), (*image.shape[:2], 3))
    if colours.shape[-1] == 1:
        return colours.astype(np.float64)
    return sum(weight * colours[..., c : c + 1].astype(np.float64) for c, weight in enumerate(LUMINANCE))


def to_unit_range(image: np.ndarray, name: str, *, window: tuple[float, float] | None) -> np.ndarray:
    """Scale to [0,1], float32.

    Without a window the image's own minimum goes to 0 and its maximum to 1, over all channels together, as UniverSeg
    was trained; a constant image becomes zeros. A window (low, high) is for intensities with a meaning,
    such as Hounsfield units: low goes to 0, high to 1, and what lies outside is clipped.

    Raises:
        InputError: when the range of intensities overflows a float64.
    """
    low, high = (image.min(), image.max()) if window is None else window
    with np.errstate(over="ignore"):
        extent = high - low
    if extent == 0:
        return np.zeros(image.shape, np.float32)
    if not np.isfinite(extent):
        raise InputError(f"{name} has intensities from {low:g} to {high:g}: scale them down")
    # Clipped first: a window far from an image's intensities must not overflow.
    return ((np.clip(image, low, high) - low) / extent).astype(np.float32)


@dataclass(frozen=True)
class SquareFrame:
    """Where an image of height x width lies in a model's square input of size x size.

    Policy: the image is padded to a centred square, which keeps its aspect, with zeros or with copies of its own
    outermost rows and columns ("edge"), and the square is resized bilinearly, with antialiasing when it shrinks. `back`
    undoes both: it resizes to the square and crops. An image that is size x size already passes unchanged, bit by bit.
    The square itself is never made: resizing is a product with one matrix per axis, and padding and cropping are a
    choice of columns and rows. A long, thin image so costs no more memory than itself.
    """

    height: int
    width: int
    size: int
    padding: Literal["zeros", "edge"] = "zeros"

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Where the image lies in the input: top, left, bottom and right, the last two excluded; 1 pixel at least."""
        side = max(self.height, self.width)
        rows, columns = (_centred(length, side) for length in (self.height, self.width))
        starts = [own.start * self.size // side for own in (rows, columns)]
        return (*starts, *(-(-own.stop * self.size // side) for own in (rows, columns)))

    def into(self, image: np.ndarray) -> np.ndarray:
        """(height,width,C) to (size,size,C), float32; for images and, as soft maps, for labels."""
        side = max(self.height, self.width)
        rows, columns = self._weights(self.height, side), self._weights(self.width, side)
        return _resize(image, rows, columns)

    def back(self, maps: np.ndarray) -> np.ndarray:
        """(size,size,C) to (height,width,C), float32, within the range of the input."""
        side = max(self.height, self.width)
        weights = _bilinear(self.size, side)
        rows, columns = weights[_centred(self.height, side)], weights[_centred(self.width, side)]
        return _resize(maps, rows, columns).clip(maps.min(), maps.max())  # the clip is for the last bit only

    def _weights(self, length: int, side: int) -> np.ndarray:
        """(size,length) weights of an axis of the image; those of an edge count for its copies too."""
        weights, own = _bilinear(side, self.size), _centred(length, side)
        kept = weights[:, own]
        if self.padding == "edge":
            kept = kept.copy()
            kept[:, 0] += weights[:, : own.start].sum(axis=1)
            kept[:, -1] += weights[:, own.stop :].sum(axis=1)
        return kept


def _centred(length: int, side: int) -> slice:
    """The pixels that `length` takes in the middle of `side`; an odd remainder goes behind."""
    start = (side - length) // 2
    return slice(start, start + length)


def _bilinear(before: int, after: int) -> np.ndarray:
    """(after,before) weights of Pillow's bilinear filter: a triangle as wide as the larger of the two pixels."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _resize(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.float32), columns, optimize=True)


@dataclass(frozen=True, eq=False)
class View:
    """A model's view of an image, and what the diagnostics need to know of the original.

    Attributes:
        name: what messages call the image.
        frame: its size, and its place in the model's square.
        pixels: (size,size,C) float32 in [0,1].
        quantiles: (33,) of its intensities in [0,1], without the padding, in equal steps from minimum to maximum.
    """

    name: str
    frame: SquareFrame
    pixels: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        name: str,
        *,
        size: int,
        channels: int,
        window: tuple[float, float] | None,
        padding: str = "zeros",
    ) -> "View":
        """Check, normalise and resize an image (H,W) or (H,W,C)."""
        unit = to_unit_range(with_channels(checked_image(image, name), channels), name, window=window)
        frame = SquareFrame(*unit.shape[:2], size, padding)
        return cls(name, frame, frame.into(unit), np.quantile(unit, np.linspace(0, 1, 33)))

    @property
    def constant(self) -> bool:
        return bool(self.quantiles[0] == self.quantiles[-1])
