"""Prepare images of any size and dtype for a model, and bring maps back to the size of an image.

The steps, in the order of this file: list and check inputs, convert channels, scale intensities, pad and resize.
`View` is the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from universeg_jax.errors import InputError

Arrays: TypeAlias = ArrayLike | Sequence[ArrayLike]
"""Several images or labels: a list of arrays of any sizes, or one array of all."""


def entries(arrays: Arrays, names: Sequence[str] | None, *, kind: str) -> tuple[list[np.ndarray], list[str]]:
    """List images or labels, and the names that messages use for them.

    Args:
        arrays: a list of arrays, or one array (N,H,W) or (N,H,W,C).
        names: one name per entry; None gives "<kind> 0", "<kind> 1", ...
        kind: noun for one entry: "image", "support image", "label".

    Raises:
        InputError: for no entries, a single image instead of several, or a wrong number of names.
    """
    listed = _listed(arrays, kind)
    if not listed:
        raise InputError(f"there is no {kind}: pass at least one")
    if names is None:
        return listed, [f"{kind} {i}" for i in range(len(listed))]
    if len(names) != len(listed):
        raise InputError(f"{len(names)} names for {len(listed)} {kind}s: pass one name for each, or none")
    return listed, [str(name) for name in names]


def is_list(arrays: Arrays) -> bool:
    """Return True for a list or tuple of images, whose results are a list too."""
    return isinstance(arrays, list | tuple)


def _listed(arrays: Arrays, kind: str) -> list[np.ndarray]:
    try:
        if isinstance(arrays, list | tuple):
            return [np.asarray(array) for array in arrays]
        array = np.asarray(arrays)
    except ValueError as error:  # nested lists with rows of unequal length
        raise InputError(f"{kind}s are not arrays of numbers: {error}") from error
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4)):
        raise InputError(
            f"an array of shape {array.shape} looks like one {kind}, but several are expected: "
            f"pass a list, [{kind.split()[-1]}]"
        )
    if array.ndim not in (3, 4):
        raise InputError(f"{kind}s of shape {array.shape}: pass a list of arrays, or one array (N,H,W) or (N,H,W,C)")
    return list(array)


def checked_image(image: np.ndarray, name: str) -> np.ndarray:
    """Check an image and return it as (H,W,C). C is 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.

    Raises:
        InputError: for another shape, no pixels, a dtype that is not a number, NaN or infinity.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not 1 <= image.shape[-1] <= 4:
        raise InputError(f"{name} has shape {image.shape}: images are (H,W), (H,W,3) or (H,W,4), height first")
    return _checked_values(image, name)


def checked_label(label: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """Check a label and return it as (H,W), the height and width of its image.

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
            "pass a label with one value for each pixel of its image"
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
            f"{name} has NaN or infinity in {bad} of {array.size} values: replace them, for example by np.nan_to_num"
        )
    return array


LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow and OpenCV


def checked_window(window: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the window as two floats.

    Raises:
        InputError: for edges that are not finite, or not ascending.
    """
    if window is None:
        return None
    low, high = (float(edge) for edge in window)
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"window=({low:g}, {high:g}): pass two finite intensities, the lower first")
    return low, high


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert between grey and colour.

    Args:
        image: (H,W,C). C is 1 grey, 2 grey and alpha, 3 colour or 4 colour and alpha. Alpha is dropped.
        channels: 1 takes the luminance of a colour image, 3 repeats a grey one.

    Returns:
        (H,W,channels), float64, so that differences of 16-bit intensities stay exact.
    """
    colours = image[..., : 1 if image.shape[-1] <= 2 else 3]
    if channels == 3:
        return np.broadcast_to(colours.astype(np.float64), (*image.shape[:2], 3))
    if colours.shape[-1] == 1:
        return colours.astype(np.float64)
    return sum(weight * colours[..., c : c + 1].astype(np.float64) for c, weight in enumerate(LUMINANCE))


def to_unit_range(image: np.ndarray, name: str, *, window: tuple[float, float] | None) -> np.ndarray:
    """Scale an image to [0,1], float32.

    Without a window, the image's minimum over all channels becomes 0 and its maximum 1, as UniverSeg was trained; a
    constant image becomes zeros. With a window (low, high), low becomes 0, high becomes 1, and values outside are
    clipped. A window suits intensities with a meaning, such as Hounsfield units.

    Raises:
        InputError: if the range of intensities overflows a float64.
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
    """Place of an image of height x width in a model's square input of size x size.

    `into` pads the image to a centred square, which keeps its aspect, and resizes the square bilinearly, with
    antialiasing when it shrinks. `back` resizes to the square and crops. An image of size x size passes unchanged, bit
    by bit. The padding is zeros, or copies of the outermost rows and columns ("edge").

    The square itself is never made: resizing is a product with one matrix for each axis, and padding and cropping
    select columns and rows. So a long, thin image costs no more memory than itself.
    """

    height: int
    width: int
    size: int
    padding: Literal["zeros", "edge"] = "zeros"

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Part of the input that the image fills: top, left, bottom, right, the last two excluded; 1 pixel at least."""
        side = max(self.height, self.width)
        rows, columns = (_centred(length, side) for length in (self.height, self.width))
        starts = [own.start * self.size // side for own in (rows, columns)]
        return (*starts, *(-(-own.stop * self.size // side) for own in (rows, columns)))

    def into(self, image: np.ndarray) -> np.ndarray:
        """Turn (height,width,C) into (size,size,C), float32. It applies to images and to soft maps of labels."""
        side = max(self.height, self.width)
        rows, columns = self._weights(self.height, side), self._weights(self.width, side)
        return _resize(image, rows, columns)

    def back(self, maps: np.ndarray) -> np.ndarray:
        """Turn (size,size,C) into (height,width,C), float32, within the range of the input."""
        side = max(self.height, self.width)
        weights = bilinear(self.size, side)
        rows, columns = weights[_centred(self.height, side)], weights[_centred(self.width, side)]
        return _resize(maps, rows, columns).clip(maps.min(), maps.max())  # the clip is for the last bit only

    def _weights(self, length: int, side: int) -> np.ndarray:
        """Return weights (size,length) of one axis of the image; an edge includes the weights of its copies."""
        weights, own = bilinear(side, self.size), _centred(length, side)
        kept = weights[:, own]
        if self.padding == "edge":
            kept = kept.copy()
            kept[:, 0] += weights[:, : own.start].sum(axis=1)
            kept[:, -1] += weights[:, own.stop :].sum(axis=1)
        return kept


def _centred(length: int, side: int) -> slice:
    """Return the slice of `length` pixels in the middle of `side`; an odd remainder goes to the end."""
    start = (side - length) // 2
    return slice(start, start + length)


def bilinear(before: int, after: int) -> np.ndarray:
    """Return weights (after,before) of Pillow's bilinear filter, a triangle as wide as the larger of both pixels."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize_square(maps: np.ndarray, size: int) -> np.ndarray:
    """Resize square maps (H,H,C) to (size,size,C), float32."""
    if maps.shape[0] == size:
        return maps
    weights = bilinear(maps.shape[0], size)
    return _resize(maps, weights, weights)


def _resize(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply rows and columns of an image (H,W,C) by weights (y,H) and (x,W)."""
    tall = _along_rows(columns, image.astype(np.float32).swapaxes(0, 1)).swapaxes(0, 1)
    return _along_rows(rows, tall)


def _along_rows(weights: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Multiply the rows of an image (H,W,C) by weights (y,H), most of which are zero but for a few neighbours."""
    number, length = weights.shape
    used = weights != 0
    first = used.argmax(axis=1)
    extents = np.where(used.any(axis=1), length - used[:, ::-1].argmax(axis=1) - first, 1)
    most = int(extents.max())
    places = np.minimum(first, length - most)[:, None] + np.arange(most)
    kept = np.take_along_axis(weights, places, axis=1)
    flat = np.ascontiguousarray(image).reshape(length, -1)
    result = kept[:, :1] * flat[places[:, 0]]
    for tap in range(1, most):
        result += kept[:, tap : tap + 1] * flat[places[:, tap]]
    return result.reshape(number, *image.shape[1:])


@dataclass(frozen=True, eq=False)
class View:
    """An image prepared for a model, with measurements of the original for warnings.

    Attributes:
        name: name of the image in messages.
        frame: its size, and its place in the model's square.
        pixels: (size,size,C) float32 in [0,1].
        quantiles: (33,) quantiles of its intensities in [0,1], without the padding, from minimum to maximum.
        range: the intensities that became 0 and 1.
    """

    name: str
    frame: SquareFrame
    pixels: np.ndarray
    quantiles: np.ndarray
    range: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        name: str,
        *,
        size: int,
        channels: int,
        window: tuple[float, float] | None,
        padding: Literal["zeros", "edge"] = "zeros",
    ) -> "View":
        """Check, normalise and resize an image (H,W) or (H,W,C)."""
        checked = checked_image(image, name)
        converted = with_channels(checked, channels if checked.shape[-1] > 2 else 1)  # equal channels are made last
        unit = to_unit_range(converted, name, window=window)
        frame = SquareFrame(unit.shape[0], unit.shape[1], size, padding)
        quantiles = np.quantile(unit, np.linspace(0, 1, 33))
        pixels = frame.into(unit)
        if pixels.shape[-1] < channels:
            pixels = np.repeat(pixels, channels, axis=-1)
        return cls(name, frame, pixels, quantiles, window or (float(converted.min()), float(converted.max())))

    @property
    def constant(self) -> bool:
        """True if all pixels have one intensity."""
        return bool(self.quantiles[0] == self.quantiles[-1])
