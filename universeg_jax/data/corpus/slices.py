"""From a scan to square slices with soft labels, as MegaMedical was made (UniverSeg, arXiv:2304.06131)."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage, sparse

from universeg_jax.data.readers.source import AXES, PICTURE_AXIS, Scan
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.intensity import volume_window
from universeg_jax.segment.preprocess import to_unit_range

MILLIMETRES = (8.0, 4096.0)  # what a slice may measure; outside of it the stated spacing is wrong


@dataclass(frozen=True)
class Slice:
    """One slice of a scan before it is resized.

    Attributes:
        axis: "axial", ..., or "2d" for a picture.
        planes: (H,W,1+K) float32 in [0,1], the image and one map per class.
        spacing: millimetres per row and per column, or None.
        middle: whether it shows all classes, those that it lacks included.
        shown: (K,) bool, the classes it was chosen for.
    """

    axis: str
    planes: np.ndarray
    spacing: tuple[float, float] | None
    middle: bool
    shown: np.ndarray


def class_values(scan: Scan) -> list[int]:
    """The classes that a scan holds, background (0) left out, ascending."""
    return [value for value in np.unique(scan.labels).tolist() if value != 0]


def unit_range(scan: Scan, name: str) -> np.ndarray:
    """Scale the image to [0,1], float32: a volume by `volume_window`, a picture by its own minimum and maximum."""
    if scan.spacing is None:
        return to_unit_range(scan.image, name, window=None)
    low, high = volume_window(scan.image, scan.modality, name)
    return to_unit_range(scan.image, name, window=(low, high) if low < high else None)


def slices(scan: Scan, name: str) -> Iterator[Slice]:
    """A picture as it is; of a volume, along each axis, the middle slice and the one where each class is largest.

    Slices are taken before resampling: linear resampling is separable, so that in the plane of a slice it gives
    what resampling the whole volume would, in a fraction of the time and with labels that stay soft.

    Raises:
        InputError: an image and labels of different shapes.

    Warns:
        SegmentationWarning: an image of one intensity.
    """
    if scan.image.shape != scan.labels.shape:
        raise InputError(
            f"{name}: the image measures {_size(scan.image)}, its labels {_size(scan.labels)}; they must match"
        )
    image, values = unit_range(scan, name), class_values(scan)
    if not image.any():
        warnings.warn(
            f"{name}: shows nothing; its intensities, once clipped, are all equal", SegmentationWarning, stacklevel=2
        )
    if scan.spacing is None:
        yield Slice(PICTURE_AXIS, _planes(image, scan.labels, values), None, True, np.ones(len(values), bool))
        return
    for axis in scan.axes:
        along = AXES.index(axis)
        across = tuple(other for other in range(3) if other != along)
        middle = scan.labels.shape[along] // 2
        largest = [int(np.argmax((scan.labels == value).sum(across))) for value in values]
        for index in sorted({middle, *largest}):
            planes, spacing = cut(scan, image, axis, index, values)
            shown = np.array([index in (middle, best) for best in largest], bool)
            yield Slice(axis, planes, spacing, index == middle, shown)


def cut(
    scan: Scan, image: np.ndarray, axis: str, index: int, values: list[int]
) -> tuple[np.ndarray, tuple[float, float]]:
    """One slice of a volume, as radiologists look: rows from head to foot (or front to back), columns from right to
    left (or front).

    Args:
        image: the intensities of the scan in [0,1].
        values: of the classes to make maps of.

    Returns:
        (H,W,1+K), the image and a map per class, and millimetres per row and column.
    """
    along = AXES.index(axis)
    image_plane, label_plane = (np.moveaxis(a, along, 0)[index].T[::-1, ::-1] for a in (image, scan.labels))
    columns, rows = (size for other, size in enumerate(scan.spacing) if other != along)
    return _planes(image_plane, label_plane, values), (rows, columns)


def resize(planes: np.ndarray, spacing: tuple[float, float] | None, size: int) -> np.ndarray:
    """Resample to 1 mm, zero-pad to a square, blur and resize.

    Args:
        planes: (H,W,C) float32 in [0,1]; images and labels alike.
        spacing: millimetres per row and column; None skips the resampling.
        size: pixels of the result.

    Returns:
        (size,size,C) float32 in [0,1].

    Raises:
        InputError: a spacing that makes the slice smaller or larger than any patient.
    """
    height, width = planes.shape[:2]
    if spacing is not None:
        extents = height * spacing[0], width * spacing[1]
        if not all(MILLIMETRES[0] <= extent <= MILLIMETRES[1] for extent in extents):
            raise InputError(
                f"a slice of {extents[0]:.4g} x {extents[1]:.4g} mm: the spacing in the header is wrong or not in "
                f"millimetres; sides from {MILLIMETRES[0]:g} to {MILLIMETRES[1]:g} mm are used"
            )
        height, width = map(round, extents)
    side = max(height, width)
    planes = _along_rows(_resizing(planes.shape[0], height, side, size), planes)
    planes = _along_rows(_resizing(planes.shape[1], width, side, size), planes.swapaxes(0, 1)).swapaxes(0, 1)
    return np.clip(planes, 0, 1)


@lru_cache(maxsize=128)
def _resizing(length: int, resampled: int, side: int, size: int) -> sparse.csr_array:
    """(size,length) float32: what `resize` does to one axis, as a matrix.

    Each step is linear and treats all lines alike, so for all images of one size it is computed once, on the identity.
    """
    lines = _zoom(np.eye(length, dtype=np.float32), resampled)
    before = (side - resampled) // 2
    lines = np.pad(lines, ((before, side - resampled - before), (0, 0)))
    lines = ndimage.gaussian_filter1d(lines, 0.25 * side / size, axis=0, mode="nearest")
    return sparse.csr_array(_zoom(lines, size))


def _along_rows(matrix: sparse.csr_array, planes: np.ndarray) -> np.ndarray:
    height, width, channels = planes.shape
    return (matrix @ planes.reshape(height, width * channels)).reshape(-1, width, channels)


def _zoom(lines: np.ndarray, size: int) -> np.ndarray:
    return ndimage.zoom(lines, (size / lines.shape[0], 1), order=1, mode="nearest", grid_mode=True)


def _planes(image: np.ndarray, labels: np.ndarray, values: list[int]) -> np.ndarray:
    return np.stack([image, *(labels == value for value in values)], axis=-1).astype(np.float32)


def _size(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
