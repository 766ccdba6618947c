"""Cut scans into square slices with soft labels, as MegaMedical does (UniverSeg, arXiv:2304.06131)."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage, sparse

from universeg_jax.data.readers.source import AXES, PICTURE_AXIS, Scan
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.planes import volume_window
from universeg_jax.segment.preprocess import to_unit_range

MILLIMETRES = (8.0, 4096.0)  # plausible side of a slice; beyond it the stated spacing is wrong


@dataclass(frozen=True)
class Slice:
    """One slice of a scan before it is resized.

    Attributes:
        axis: "axial", ..., or "2d" for a picture.
        planes: (H,W,1+K) float32 in [0,1], the image and one map per class.
        spacing: millimetres per row and per column, or None.
        middle: whether it is the middle slice, which is an example of all classes.
        shown: (K,) bool, the classes it was chosen for.
    """

    axis: str
    planes: np.ndarray
    spacing: tuple[float, float] | None
    middle: bool
    shown: np.ndarray


def class_values(scan: Scan) -> list[int]:
    """Return the values of the classes of a scan without background (0), ascending."""
    return scan.classes


def unit_range(scan: Scan, name: str) -> np.ndarray:
    """Scale the image to [0,1], float32: a volume by `volume_window`, a picture by its own minimum and maximum."""
    if scan.spacing is None:
        return to_unit_range(scan.image, name, window=None)
    low, high = volume_window(scan.image, scan.modality, name)
    return to_unit_range(scan.image, name, window=(low, high) if low < high else None)


def slices(scan: Scan, name: str) -> Iterator[Slice]:
    """Yield a picture as it is; yield the middle slice of a volume and the largest slice of each class, for each axis.

    Slices are taken before resampling. Linear resampling is separable, so the result in the plane is the same, in a
    fraction of the time, and labels stay soft.

    Raises:
        InputError: image and labels have different shapes.

    Warns:
        SegmentationWarning: the image has one intensity only.
    """
    if scan.image.shape != scan.labels.shape:
        raise InputError(
            f"{name}: the image measures {_size(scan.image)}, its labels {_size(scan.labels)}; they must match"
        )
    image, values = unit_range(scan, name), class_values(scan)
    members = [scan.members(value) for value in values]
    if not image.any():
        warnings.warn(
            f"{name}: shows nothing; its clipped intensities are all equal", SegmentationWarning, stacklevel=2
        )
    if scan.spacing is None:
        yield Slice(PICTURE_AXIS, _planes(image, scan.labels, members), None, True, np.ones(len(values), bool))
        return
    for axis in scan.axes:
        along = AXES.index(axis)
        across = tuple(other for other in range(3) if other != along)
        middle = scan.labels.shape[along] // 2
        largest = [int(np.argmax(_shows(scan.labels, group).sum(across))) for group in members]
        for index in sorted({middle, *largest}):
            planes, spacing = cut(scan, image, axis, index, values)
            shown = np.array([index in (middle, best) for best in largest], bool)
            yield Slice(axis, planes, spacing, index == middle, shown)


def cut(
    scan: Scan, image: np.ndarray, axis: str, index: int, values: list[int]
) -> tuple[np.ndarray, tuple[float, float]]:
    """Cut one slice of a volume in radiological orientation.

    Rows run from head to foot (or front to back), columns from right to left (or to the front).

    Args:
        scan: the volume.
        image: its intensities in [0,1].
        axis: axis to cut along.
        index: index of the slice.
        values: class values to make maps of.

    Returns:
        (H,W,1+K), the image and a map of each class; and millimetres per row and column.
    """
    along = AXES.index(axis)
    image_plane, label_plane = (np.moveaxis(a, along, 0)[index].T[::-1, ::-1] for a in (image, scan.labels))
    columns, rows = (size for other, size in enumerate(scan.spacing or (1.0, 1.0, 1.0)) if other != along)
    return _planes(image_plane, label_plane, [scan.members(value) for value in values]), (rows, columns)


def resize(planes: np.ndarray, spacing: tuple[float, float] | None, size: int) -> np.ndarray:
    """Resample to 1 mm, zero-pad to a square, blur and resize.

    Args:
        planes: (H,W,C) float32 in [0,1]; images and labels alike.
        spacing: millimetres per row and column; None skips the resampling.
        size: pixels of the result.

    Returns:
        (size,size,C) float32 in [0,1].

    Raises:
        InputError: the spacing makes the slice smaller or larger than any patient.
    """
    height, width = planes.shape[:2]
    if spacing is not None:
        extents = height * spacing[0], width * spacing[1]
        if not all(MILLIMETRES[0] <= extent <= MILLIMETRES[1] for extent in extents):
            raise InputError(
                f"a slice of {extents[0]:.4g} x {extents[1]:.4g} mm: the spacing in the header is wrong or not in "
                f"millimetres; correct it so that sides are {MILLIMETRES[0]:g} to {MILLIMETRES[1]:g} mm"
            )
        height, width = map(round, extents)
    side = max(height, width)
    planes = _along_rows(_resizing(planes.shape[0], height, side, size), planes)
    planes = _along_rows(_resizing(planes.shape[1], width, side, size), planes.swapaxes(0, 1)).swapaxes(0, 1)
    return np.clip(planes, 0, 1)


@lru_cache(maxsize=128)
def _resizing(length: int, resampled: int, side: int, size: int) -> sparse.csr_array:
    """Return the effect of `resize` on one axis as a matrix (size,length), float32.

    Each step is linear and equal for all lines. The matrix is computed once for all images of a size, from the
    identity.
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


def _planes(image: np.ndarray, labels: np.ndarray, members: list[tuple[int, ...]]) -> np.ndarray:
    return np.stack([image, *(_shows(labels, group) for group in members)], axis=-1).astype(np.float32)


def _shows(labels: np.ndarray, members: tuple[int, ...]) -> np.ndarray:
    return labels == members[0] if len(members) == 1 else np.isin(labels, members)


def _size(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
