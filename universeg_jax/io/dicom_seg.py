"""DICOM segmentations (SEG): frames that each show one segment in one slice of a series, in any order."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.dicom import DicomSlice
from universeg_jax.io.dicom_series import Series
from universeg_jax.io.itk import LPS_TO_RAS
from universeg_jax.io.volumes import Volume
from universeg_jax.version import __version__

WHO = {"manufacturer": "universeg-jax", "manufacturer_model_name": "universeg-jax", "device_serial_number": "0"}


def is_segmentation(frame: DicomSlice) -> bool:
    """Tell whether a frame is of a SEG object."""
    return frame.get("Modality") == "SEG"


def segment_names(frames: Sequence[DicomSlice]) -> dict[int, str]:
    """Read the label of each segment by its number."""
    segments = frames[0].get("SegmentSequence", [])
    return {int(s.SegmentNumber): str(s.get("SegmentLabel") or s.SegmentNumber) for s in segments}


def segment_volume(frames: Sequence[DicomSlice], series: Volume) -> Volume:
    """Place segments on the voxels of the series that they were drawn on; the class value is the segment's number.

    Where segments overlap the higher number wins, with a warning. Fractions count from a half.

    Raises:
        InputError: a segmentation with other rows, columns or slices than the series.

    Warns:
        SegmentationWarning: segments that overlap.
    """
    highest = max((frame.segment for frame in frames), default=0)
    labels: np.ndarray = np.zeros(series.shape, np.uint8 if highest < 256 else np.uint16)
    overlap = 0
    for frame in sorted(frames, key=lambda frame: frame.segment):
        plane = labels[..., _slice_of(frame, series)]
        shown = frame.pixels(rescale=False)
        if frame.segment:
            shown = frame.segment * (shown >= float(frame.get("MaximumFractionalValue", 1)) / 2)
        overlap += int(np.count_nonzero((plane > 0) & (shown > 0)))
        np.copyto(plane, shown.astype(labels.dtype), where=shown > 0)
    if overlap:
        warnings.warn(
            f"{frames[0].file}: segments overlap in {overlap} voxels; the higher number wins",
            SegmentationWarning,
            stacklevel=2,
        )
    return Volume(frames[0].file, labels, series.affine)


def write_segmentation(file: Path, labels: np.ndarray, series: Series, names: Mapping[int, str]) -> None:
    """Write class labels as a DICOM SEG object that references the slices of their series.

    Args:
        labels: (rows, columns, slices) class values of the series; 0 is background.
        series: the series that was segmented.
        names: the name of each class value. Segments are numbered from 1 in the order of the values.

    Raises:
        InputError: labels without any class, or a series whose header lacks what the standard asks of a segmentation.
    """
    import highdicom
    import pydicom
    from pydicom.sr.codedict import codes

    values = [value for value in names if value != 0]
    if not values or not labels.any():
        raise InputError(f"{file}: nothing was found in {series.name}; a DICOM segmentation holds a segment or more")
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=names[value][:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.AnatomicalStructure,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=highdicom.AlgorithmIdentificationSequence(
                name="universeg-jax", version=__version__, family=codes.DCM.ArtificialIntelligence
            ),
        )
        for number, value in enumerate(values, 1)
    ]
    numbers: np.ndarray = np.zeros(max(values) + 1, np.uint8)
    numbers[values] = np.arange(1, len(values) + 1)
    frames = np.moveaxis(numbers[labels], -1, 0)
    multi_frame = len(series.files) == 1
    sources = [series.frames[0].dataset] if multi_frame else [frame.dataset for frame in series.frames]
    if multi_frame:  # highdicom wants frames in the order of the file
        frames = frames[np.argsort(series.order)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values in the source that bend the standard
            made = highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=np.ascontiguousarray(frames),
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=segments,
                series_instance_uid=pydicom.uid.generate_uid(),
                series_number=series.frames[0].number("SeriesNumber") + 1000,
                sop_instance_uid=pydicom.uid.generate_uid(),
                instance_number=1,
                software_versions=__version__,
                series_description="universeg-jax segmentation",
                **WHO,
            )
            made.save_as(file)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{series.name}: its header does not allow a DICOM segmentation ({error}); write .nii.gz"
        ) from None


def _slice_of(frame: DicomSlice, series: Volume) -> int:
    """Find the slice of a series that a frame lies on, pixel on pixel."""
    along_rows, along_columns = frame.directions
    row_spacing, column_spacing = frame.spacing
    rows, columns = frame.shape
    first = frame.position
    last = first + along_columns * row_spacing * (rows - 1) + along_rows * column_spacing * (columns - 1)
    corners = np.stack([[*first, 1], [*last, 1]], axis=1)
    indices = (np.linalg.inv(series.affine) @ LPS_TO_RAS @ corners)[:3].T
    k = round(indices[0, 2])
    expected = np.array([[0, 0, k], [rows - 1, columns - 1, k]])
    if frame.shape != series.shape[:2] or not 0 <= k < series.shape[2]:
        raise InputError(
            f"{frame.file}: frame {frame.index + 1} ({rows}x{columns}, slice {k}) is not one of the slices of "
            f"{series.name} ({'x'.join(map(str, series.shape))}); a segmentation must be of its series"
        )
    if np.abs(indices - expected).max() > 0.1:  # of a voxel: headers are written with few digits
        raise InputError(
            f"{frame.file}: frame {frame.index + 1} lies {np.abs(indices - expected).max():.3g} voxels off the slices "
            f"of {series.name}; resample the segmentation to the series"
        )
    return k
