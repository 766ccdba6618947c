"""DICOM segmentations (SEG): frames that each show one segment in one slice of a series, in any order."""

import warnings
from collections.abc import Sequence

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.dicom import DicomSlice
from universeg_jax.io.volumes import Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts to the left and back, NIfTI to the right and front


def is_segmentation(frame: DicomSlice) -> bool:
    """Whether a frame is of a SEG object."""
    return frame.dataset.get("Modality") == "SEG"


def segment_names(frames: Sequence[DicomSlice]) -> dict[int, str]:
    """The label of each segment by its number."""
    segments = frames[0].dataset.get("SegmentSequence", [])
    return {int(s.SegmentNumber): str(s.get("SegmentLabel") or s.SegmentNumber) for s in segments}


def segment_volume(frames: Sequence[DicomSlice], series: Volume) -> Volume:
    """The segments on the voxels of the series that they were drawn on; a class value is a segment's number.

    Where segments overlap the one of the higher number wins, with a warning. Fractions count from a half.

    Raises:
        InputError: a segmentation with other rows, columns or slices than the series.
    """
    labels = np.zeros(series.voxels.shape, np.int32)
    overlap = 0
    for frame in sorted(frames, key=lambda frame: frame.segment):
        plane = labels[..., _slice_of(frame, series)]
        shown = frame.pixels(rescale=False)
        if frame.segment:
            shown = frame.segment * (shown >= float(frame.dataset.get("MaximumFractionalValue", 1)) / 2)
        overlap += np.count_nonzero((plane > 0) & (shown > 0))
        np.copyto(plane, shown.astype(np.int32), where=shown > 0)
    if overlap:
        warnings.warn(
            f"{frames[0].file}: segments overlap in {overlap} voxels; the higher number wins",
            SegmentationWarning,
            stacklevel=2,
        )
    return Volume(frames[0].file, labels, series.affine)


def _slice_of(frame: DicomSlice, series: Volume) -> int:
    """The slice of a series that a frame lies on, pixel on pixel."""
    along_rows, along_columns = frame.directions
    row_spacing, column_spacing = frame.spacing
    rows, columns = frame.shape
    first = frame.position
    last = first + along_columns * row_spacing * (rows - 1) + along_rows * column_spacing * (columns - 1)
    corners = np.stack([[*first, 1], [*last, 1]], axis=1)
    indices = (np.linalg.inv(series.affine) @ LPS_TO_RAS @ corners)[:3].T
    k = round(indices[0, 2])
    expected = np.array([[0, 0, k], [rows - 1, columns - 1, k]])
    if frame.shape != series.voxels.shape[:2] or not 0 <= k < series.voxels.shape[2]:
        raise InputError(
            f"{frame.file}: frame {frame.index + 1} ({rows}x{columns}, slice {k}) is not one of the slices of "
            f"{series.name} ({'x'.join(map(str, series.voxels.shape))}); a segmentation must be of its series"
        )
    if np.abs(indices - expected).max() > 0.1:  # of a voxel: headers are written with few digits
        raise InputError(
            f"{frame.file}: frame {frame.index + 1} lies {np.abs(indices - expected).max():.3g} voxels off the slices "
            f"of {series.name}; resample the segmentation to the series"
        )
    return k
