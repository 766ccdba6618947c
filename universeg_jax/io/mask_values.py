"""Rules for the values of masks, the same for every command.

A mask value is a class. Blurred binary masks are thresholded with a warning. Values that are not classes are refused,
and so are masks of one task that mark a structure by different values.
"""

import warnings
from collections.abc import Collection, Mapping

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing

MAX_CLASSES = 64  # more values are an image or a map of instances
FULL = (255, 65535)  # the foreground in image editors, of 8 and 16 bits
NEAR = 5 / 255  # part of the full value: lossy compression changes 0 and the full value by so much
SMALL = 32  # class numbers that people write are at most so large
LEAST_SHADES = 3  # different values between 0 and the full value that make a blurred border
MOST_MIDDLE = 0.02  # part of a mask that lossy compression leaves in the middle between 0 and the full value
MOST_BLURRED = 0.25  # part of a mask that borders may cover


def class_values(values: np.ndarray, name: str) -> np.ndarray:
    """Turn the stored values of one grey mask into class values.

    A mask of 0 and 255 (or 65535) becomes blurred when it is resized smoothly or compressed with loss. The values
    between are then shades of a border, not classes: they lie between a darker and a brighter neighbour, and few
    neighbours share their value.

    Args:
        values: (H,W) or (X,Y,Z), whole numbers of 0 or more.
        name: name of the mask, for messages.

    Returns:
        The same array, or one of 0 and the full value, cut in the middle.

    Raises:
        InputError: shades that cover so much that a cut is no safe reading.

    Warns:
        SegmentationWarning: a mask that was cut, and values that occur on borders only.
    """
    full = next((full for full in FULL if values.max() <= full), None)
    if full is None or values.max() < full / 2:
        return values
    bright, dark = values >= full * (1 - NEAR), values <= full * NEAR
    shaded = ~(bright | dark)
    shades = np.unique(values[shaded])
    middle = ((values > full / 4) & (values < full * 3 / 4)).mean()
    if (bright & (values < full)).any() and middle <= MOST_MIDDLE and len(np.unique(values)) > 2:
        return _cut(values, full, name)  # 254 and 255 are no usual class values
    if not shades.size:
        return values
    on_border = _part_on_borders(values, shaded)
    if on_border <= 0.5:
        return values
    if len(shades) < LEAST_SHADES:
        if on_border > 0.9:
            _warn(
                f"{name}: the values {listing(list(map(str, shades)))} occur on borders only; they are read as classes"
            )
        return values
    if shaded.mean() <= MOST_BLURRED and bright.sum() >= shaded.sum() / 2:
        return _cut(values, full, name)
    if len(shades) > MAX_CLASSES:
        return values  # `check_class_count` refuses it
    raise InputError(
        f"{name}: holds {len(shades)} values between 0 and {full} ({listing(list(map(str, shades)))}) that look like "
        "shades, not classes: save the mask without smoothing, or cut it at one value"
    )


def check_colours(colours: np.ndarray, name: str) -> None:
    """Refuse a colour mask (H,W,3) uint8 whose colours blend along borders."""
    for channel in np.moveaxis(colours, -1, 0):
        shaded = (channel > 0) & (channel < 255)
        if len(np.unique(channel[shaded])) >= LEAST_SHADES and _part_on_borders(channel, shaded) > 0.5:
            raise InputError(
                f"{name}: its colours blend along borders, so that it holds more colours than classes: "
                "save the mask without smoothing (no antialiasing, resized by nearest neighbour)"
            )


def check_class_count(values: Collection[int], name: str) -> None:
    """Refuse more values than `MAX_CLASSES`."""
    if len(values) > MAX_CLASSES:
        raise InputError(
            f"{name}: has {len(values)} different values from {min(values)} to {max(values)}; at most {MAX_CLASSES} "
            "can be classes. Is it an image, a mask saved with loss (JPEG), or a map of instances? For instances, save "
            "label > 0, or pass --one-class NAME (to prepare and evaluate)"
        )


def check_same_marks(found: Mapping[str, Collection[int]]) -> None:
    """Refuse masks of one task that mark a structure by different values, such as 1 in some and 255 in others.

    Args:
        found: the values that each mask holds, by its name.
    """
    marks = {name: sorted(set(values) - {0}) for name, values in found.items()}
    for full in FULL:
        # A full value next to others in one mask is a class of its own, or "void".
        alone = [name for name, values in marks.items() if values == [full]]
        if not alone or any(full in values and len(values) > 1 for values in marks.values()):
            continue
        for name, values in marks.items():
            unlike = [v for v in values if v != full and (v <= SMALL or v in FULL or full * (1 - NEAR) <= v <= full)]
            if unlike:
                raise InputError(
                    f"{name} marks the structure by {listing(list(map(str, unlike)))}, {alone[0]} by {full}: "
                    "use one value in all masks"
                )


def _part_on_borders(values: np.ndarray, shaded: np.ndarray) -> float:
    """Return the part of the shaded pixels on borders. Volumes use the slices with most of them along each axis."""
    if values.ndim == 2:
        return float(_on_border(values)[shaded].mean())
    parts = []
    for axis in range(values.ndim):
        index = int(shaded.sum(tuple(other for other in range(values.ndim) if other != axis)).argmax())
        parts.append(_part_on_borders(values.take(index, axis), shaded.take(index, axis)))
    return max(parts)


def _on_border(values: np.ndarray) -> np.ndarray:
    """Find pixels between a darker and a brighter neighbour, with at most two neighbours of their own value."""
    from scipy import ndimage  # slow to import, and most masks have no blurred borders

    between = (ndimage.minimum_filter(values, 3) < values) & (values < ndimage.maximum_filter(values, 3))
    padded = np.pad(values, 1, mode="edge").astype(np.int64)
    height, width = values.shape
    same = sum(
        padded[1 + down : 1 + down + height, 1 + right : 1 + right + width] == values
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if down or right
    )
    return between & (same <= 2)


def _cut(values: np.ndarray, full: int, name: str) -> np.ndarray:
    # Named by folder, so that a hundred masks give one warning.
    _warn(f"{name.rpartition('/')[0] or name}: masks with blurred borders, cut at {full // 2 + 1} into 0 and {full}")
    return np.where(values > full // 2, full, 0).astype(values.dtype)


def _warn(message: str) -> None:
    warnings.warn(message, SegmentationWarning, stacklevel=4)
