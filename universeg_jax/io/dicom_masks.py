"""Masks of a DICOM series: a segmentation (SEG), a parallel series, or one picture per slice.

The frames of a SEG each show one segment in one slice of a series, in any order.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io.dicom import DicomSlice, is_dicom, read_frames
from universeg_jax.io.dicom_series import Series, series_files
from universeg_jax.io.itk import LPS_TO_RAS
from universeg_jax.io.masks import read_mask
from universeg_jax.io.volumes import Volume, class_labels, place_on
from universeg_jax.version import __version__


def read_series_masks(path: Path, image: Volume) -> tuple[Volume, dict[int, str]]:
    """Read the masks of a series onto its voxels.

    Args:
        path: a SEG object or another multi-frame file; or a folder with a SEG, the slices of a parallel series, or
            one picture per slice.
        image: the volume of the series; its name is the folder or file of the series.

    Returns:
        Class values on the voxels of the image, and the names that a SEG gives them.

    Raises:
        InputError: no masks, contours, masks that are not of this series or cannot be paired with its slices.
    """
    files = series_files(path)
    if not files:
        raise InputError(f"{path}: holds no masks")
    if not is_dicom(files[0]):
        pictures = paired_pictures(path, files, Series(series_files(Path(image.name))))
        planes = [read_mask(picture).values for picture in pictures]
        sizes = {plane.shape for plane in planes}
        if sizes != {image.shape[:2]}:
            raise InputError(
                f"{path}: its masks measure {listing(sorted(map(str, sizes)))}, the slices {image.shape[:2]}"
            )
        return class_labels(Volume(str(path), np.stack(planes, axis=-1), image.affine)), {}
    frames = read_frames(files)
    if frames[0].get("Modality") == "RTSTRUCT":
        raise InputError(f"{files[0]}: holds contours (RTSTRUCT), which are not read; convert them to SEG or NIfTI")
    if is_segmentation(frames[0]):
        return segment_volume(frames, image), segment_names(frames)
    masks = Series(files)
    mask = Volume(masks.name, masks.pixels(rescale=False), masks.affine())
    return place_on(class_labels(mask), image), {}


def paired_pictures(folder: Path, files: Sequence[Path], series: Series) -> list[Path]:
    """Find the mask picture of each slice, in the order of the sorted slices.

    Names are paired if they are equal without extension, or have the same last number. Otherwise masks in the order of
    their numbers are paired with slices in the order of InstanceNumber, with a warning.

    Raises:
        InputError: another number of masks than slices, or no way to pair them.

    Warns:
        SegmentationWarning: masks paired by InstanceNumber.
    """
    slices = [frame.path for frame in series.frames]
    if len(files) != len(series.frames):
        raise InputError(f"{folder}: holds {len(files)} masks for the {len(series.frames)} slices of {series.name}")
    if len(set(slices)) == len(slices):
        for key in (lambda file: file.stem, _last_number):
            masks, names = {key(file): file for file in files}, [key(file) for file in slices]
            if len(masks) == len(files) and masks.keys() == set(names):
                return [masks[name] for name in names]
    instances = [frame.get("InstanceNumber") for frame in series.frames]
    numbers = {file: number for file in files if (number := _last_number(file)) is not None}
    if len(numbers) < len(files) or None in instances or len(set(map(int, instances))) < len(files):
        raise InputError(
            f"{folder}: the names of its masks ({listing([file.name for file in files])}) do not tell the slices of "
            f"{series.name}, nor does InstanceNumber; name each mask as its DICOM file"
        )
    warnings.warn(
        f"{folder}: names of masks and slices differ; masks are paired by InstanceNumber, in the order of the numbers "
        "in their names",
        SegmentationWarning,
        stacklevel=3,
    )
    rank = np.argsort(np.argsort([int(number) for number in instances]))
    ordered = sorted(files, key=numbers.__getitem__)
    return [ordered[i] for i in rank]


def _last_number(file: Path) -> int | None:
    found = re.findall(r"\d+", file.stem)
    return int(found[-1]) if found else None


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

    If segments overlap, the higher number wins, with a warning. Fractional values from 0.5 count.

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
            warnings.simplefilter("ignore")  # about source values that do not follow the standard
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
    if np.abs(indices - expected).max() > 0.1:  # voxels: headers have few digits
        raise InputError(
            f"{frame.file}: frame {frame.index + 1} lies {np.abs(indices - expected).max():.3g} voxels off the slices "
            f"of {series.name}; resample the segmentation to the series"
        )
    return k
