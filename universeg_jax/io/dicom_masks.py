"""Masks of a DICOM series: a SEG object, a parallel series, or one picture per slice."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io.dicom import is_dicom, read_frames
from universeg_jax.io.dicom_seg import is_segmentation, segment_names, segment_volume
from universeg_jax.io.dicom_series import Series, series_files
from universeg_jax.io.masks import read_mask
from universeg_jax.io.volumes import Volume, class_labels, place_on


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

    Names decide: equal without extension, or equal in their last number. Else masks in the order of their numbers are
    paired with slices in the order of InstanceNumber, with a warning.

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
