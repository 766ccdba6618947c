"""Slices of a volume along an axis, as radiologists view them: their axes, pixels and intensities.

All slices of a volume share one window of intensities, which becomes [0,1].
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.volumes import AXES, Volume
from universeg_jax.segment.preprocess import bilinear

COARSER = 1.5  # an axis of this times the spacing of the others is the one that a scan was taken along
SQUARE = 1.01  # ratio of spacings up to which pixels count as square


@dataclass(frozen=True)
class Planes:
    """Cut of a volume: its axis, and the size of a pixel of a slice.

    Attributes:
        axis: one of `AXES`.
        orientation: (3,2), the turn that makes the axes run right, front and head.
        spacing: millimetres from slice to slice, from row to row, and from column to column.
    """

    axis: str
    orientation: tuple[tuple[float, float], ...]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, volume: Volume, axis: str) -> "Planes":
        """Cut a volume along an anatomical axis.

        Raises:
            InputError: an unknown axis, or an affine that gives voxels no size.
        """
        if axis not in AXES:
            raise InputError(f"axis={axis!r}: pass one of {', '.join(AXES)}")
        orientation, along = volume.orientation, AXES.index(axis)
        upright = np.empty(3)
        upright[orientation[:, 0].astype(int)] = volume.spacing
        across = [other for other in range(3) if other != along]
        spacing = (float(upright[along]), float(upright[across[1]]), float(upright[across[0]]))
        return cls(axis, tuple(map(tuple, orientation.tolist())), spacing)

    def view(self, voxels: np.ndarray) -> np.ndarray:
        """View voxels (X,Y,Z,...) as slices (D,H,W,...); writing to the view writes to the voxels.

        Rows run from head to foot (or front to back), columns from right to left (or front to back).
        """
        from nibabel.orientations import apply_orientation  # slow to import, and images need none of it

        upright = apply_orientation(voxels, np.array(self.orientation))
        return np.moveaxis(upright, AXES.index(self.axis), 0).swapaxes(1, 2)[:, ::-1, ::-1]


def coarsest_axis(volume: Volume) -> str:
    """Name the axis that a scan was taken along, which has the largest spacing; axial if none stands out."""
    return thick_axis(volume) or "axial"


def thick_axis(volume: Volume) -> str | None:
    """Name the axis whose spacing stands out from the others; None if spacings are about equal."""
    spacing = {axis: Planes.of(volume, axis).spacing[0] for axis in AXES}
    axis = max(spacing, key=spacing.__getitem__)
    return axis if spacing[axis] > COARSER * sorted(spacing.values())[1] else None


def as_volume(volume: Volume | np.ndarray, name: str, axis: int, spacing: Sequence[float]) -> Volume:
    """Give an array a geometry in which its slices along an axis, as stored, are the axial slices."""
    if isinstance(volume, Volume):
        return volume
    voxels = np.asarray(volume)
    if voxels.ndim != 3 or min(voxels.shape) < 1 or voxels.dtype.kind not in "biuf":
        raise InputError(f"{name} has shape {voxels.shape} and dtype {voxels.dtype}: volumes are numbers (X,Y,Z)")
    if len(spacing) != 3 or not (np.isfinite(spacing).all() and min(spacing) > 0):
        raise InputError(f"spacing={tuple(spacing)}: pass three numbers of millimetres above 0")
    rows, columns = (other for other in range(3) if other != axis)
    affine = np.zeros((4, 4))
    affine[2, axis], affine[1, rows], affine[0, columns] = spacing[axis], -spacing[rows], -spacing[columns]
    affine[3, 3] = 1
    return Volume(name, voxels.astype(np.uint8) if voxels.dtype.kind == "b" else voxels, affine)


@dataclass(frozen=True)
class SquarePixels:
    """Resampling of slices whose pixels are not square, and back.

    Attributes:
        shape: rows and columns of a slice.
        square: rows and columns with square pixels, as large as the smaller side of the original ones.
    """

    shape: tuple[int, int]
    square: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int], spacing: tuple[float, float]) -> "SquarePixels":
        """Choose the size from the millimetres per row and per column."""
        if max(spacing) <= SQUARE * min(spacing):
            return cls(shape, shape)
        rows, columns = (max(1, round(n * s / min(spacing))) for n, s in zip(shape, spacing, strict=True))
        return cls(shape, (rows, columns))

    def into(self, maps: np.ndarray) -> np.ndarray:
        """Resample (H,W,...) bilinearly to square pixels, float32."""
        return maps if self.shape == self.square else _resize(maps, self.shape, self.square)

    def back(self, maps: np.ndarray) -> np.ndarray:
        """Resample back to (H,W,...), float32."""
        return maps if self.shape == self.square else _resize(maps, self.square, self.shape)


def square_slice(volume: Volume, labels: np.ndarray, axis: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image (H,W) float32 and labels (H,W) of slice `k` with square pixels; labels take the nearest voxel."""
    planes = Planes.of(volume, axis)
    image, label = planes.view(volume.voxels)[k], planes.view(labels)[k]
    pixels = SquarePixels.of(image.shape, planes.spacing[1:])
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
        for old, new in zip(pixels.shape, pixels.square, strict=True)
    )
    return np.asarray(pixels.into(image), np.float32), label[np.ix_(rows, columns)]


def _resize(maps: np.ndarray, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    rows, columns = (bilinear(old, new) for old, new in zip(before, after, strict=True))
    return np.einsum("yh,hw...,xw->yx...", rows, maps.astype(np.float32), columns, optimize=True)


# Both as in MegaMedical's code: github.com/eri820503/MegaMedical at 00249cb, `clip_volume` of
# megamedical/utils/proc_utils.py, and `clip_args` in megamedical/datasets/*/process_assets/process.py. AMOS, LITS,
# LUNA, VerSe, WORD and the CT tasks of the Decathlon have this window there, but for its liver, (-250, 250).
CT_WINDOW = (-500.0, 1000.0)  # Hounsfield units
PERCENTILES = (0.5, 99.5)  # over the voxels that are not background
BACKGROUND = 0.05  # part of the voxels that one value must hold to be the background of a scan with negative values
SAMPLE = 2**25  # largest number of voxels for percentiles; larger volumes are thinned
_CT = re.compile(r"(^|[^a-z])cta?([^a-z]|$)")  # "CT", "CTA", "PVP-CT", "ct_contrast"


def is_ct(modality: str) -> bool:
    """Tell whether a modality has Hounsfield units."""
    return bool(_CT.search(modality.lower()))


def volume_window(voxels: np.ndarray, modality: str, name: str) -> tuple[float, float]:
    """Choose the intensities that become 0 and 1.

    A CT has a fixed window in Hounsfield units. Other volumes take percentiles over the voxels that are not background.
    Background is 0 and below; or the most frequent value, if some values are negative, as after z-scoring.

    Args:
        voxels: (X,Y,Z).
        modality: "CT", "MR", ...; "" if unknown.
        name: name of the volume, for messages.

    Returns:
        Low and high, within the range of the voxels; equal for a volume of one intensity.

    Warns:
        SegmentationWarning: a CT without negative values, so that its values may not be Hounsfield units.
    """
    least, most = float(voxels.min()), float(voxels.max())
    if is_ct(modality):
        if least >= 0:
            warnings.warn(
                f"{name}: is a CT whose lowest value is {least:g}, but air has -1000 Hounsfield units; if the values "
                "are stored with 1024 added, subtract it, or choose --window",
                SegmentationWarning,
                stacklevel=3,
            )
        low, high = CT_WINDOW
    else:
        values = voxels.ravel()[:: max(1, voxels.size // SAMPLE)]
        shown = values[values > 0] if least >= 0 else values[values != _background(values)]
        low, high = np.percentile(shown, PERCENTILES) if shown.size else (least, most)
    low, high = np.clip((low, high), least, most)
    return float(low), float(high)


def _background(values: np.ndarray) -> float:
    """Return the most frequent value; NaN, which equals no value, if none is frequent."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()]) if counts.max() >= BACKGROUND * values.size else np.nan
