"""DICOM series with masks.

SOURCE/images/a/*          one series per folder, a CT or MR volume, its slices in one file each or in a multi-frame
                           one; or images/a.dcm, which may be a single picture
SOURCE/masks/a.nii.gz      a mask in the place of the series; or
SOURCE/masks/a/*.dcm       a parallel series with the class values, matched by position; or
SOURCE/masks/a.dcm         a DICOM segmentation (SEG) of the series, which names its classes; or
SOURCE/masks/a/*.png       one mask per DICOM file, in the order of file names; masks/a.png for a single picture

Names of classes may stand in SOURCE/classes.json, {"1": "liver"}. RTSTRUCT, which holds contours, is not read.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.nifti import read_volume
from universeg_jax.data.readers.source import Item, Scan, Source, pair_up
from universeg_jax.errors import InputError
from universeg_jax.io.dicom import DicomSlice, is_dicom, read_frames
from universeg_jax.io.dicom_seg import LPS_TO_RAS, is_segmentation, segment_names, segment_volume
from universeg_jax.io.masks import read_mask
from universeg_jax.io.task_folder import read_class_names
from universeg_jax.io.volumes import Volume, check_header, volume_scan


def matches(folder: Path) -> bool:
    """Whether a DICOM file lies in images/ or in a folder of it."""
    files = (file for pattern in ("*", "*/*") for file in sorted((folder / "images").glob(pattern)) if file.is_file())
    return any(is_dicom(file) for file, _ in zip(files, range(8), strict=False))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """The dataset of a folder of series and masks; every series counts as a subject.

    Raises:
        InputError: no masks/ folder, or a classes.json that is no table of names.
    """
    if not (folder / "masks").is_dir():
        raise InputError(f"{folder}: needs a folder masks/ beside images/")
    images = {_stem(path): tuple(_files(path)) for path in _entries(folder / "images")}
    masks = {_stem(path): path for path in _entries(folder / "masks")}
    names = {int(value): name for value, name in read_class_names(folder / "classes.json").items() if value.isdigit()}
    reader = partial(read_series, modality=modality, class_names=names)
    items = pair_up({name: files for name, files in images.items() if files}, masks)
    return [Source(folder.resolve().name, "dicom", folder, items, reader, subjects_known=True)]


def read_series(item: Item, *, modality: str | None, class_names: dict[int, str]) -> list[Scan]:
    """Read one series and its mask. `modality` None takes the series' own."""
    *files, mask_path = item.files
    series = _Series(files)
    modality = modality or str(series.frames[0].dataset.get("Modality", "unknown"))
    if len(series.frames) == 1:
        return [Scan(series.pixels()[..., 0], read_mask(mask_path).values, class_names, modality)]
    image = Volume(series.name, series.pixels(), series.affine())
    if mask_path.name.endswith((".nii", ".nii.gz")):
        return [volume_scan(image, read_volume(mask_path), class_names, modality)]
    mask, own_names = _read_masks(image, series, _files(mask_path), mask_path)
    return [volume_scan(image, mask, own_names | class_names, modality)]


class _Series:
    """The frames of one series, sorted by their position in the patient."""

    def __init__(self, files: list[Path]):
        self.name = str(files[0] if len(files) == 1 else files[0].parent)
        frames = read_frames(files)
        _check_one_series(self.name, frames)
        if len(frames) > 1:
            self.normal = np.cross(*frames[0].directions)
            heights = [float(np.dot(self.normal, frame.position)) for frame in frames]
        else:
            heights = [0.0]
        self.order = np.argsort(heights, kind="stable").tolist()
        self.frames = [frames[i] for i in self.order]
        self.heights = np.array(heights)[self.order]

    def pixels(self, *, rescale: bool = True) -> np.ndarray:
        """(rows, columns, slices), in the units of the modality when rescaled."""
        return np.stack([frame.pixels(rescale=rescale) for frame in self.frames], axis=-1)

    def affine(self) -> np.ndarray:
        """From (row, column, slice) to millimetres to the right, front and head."""
        first = self.frames[0]
        along_rows, along_columns = first.directions
        row_spacing, column_spacing = first.spacing
        affine = np.eye(4)
        affine[:3, 0] = along_columns * row_spacing
        affine[:3, 1] = along_rows * column_spacing
        affine[:3, 2] = self.normal * self._gap()
        affine[:3, 3] = first.position
        return LPS_TO_RAS @ affine

    def _gap(self) -> float:
        gaps = np.diff(self.heights)
        if gaps.min() <= 0 or gaps.max() > 1.5 * gaps.min():
            raise InputError(
                f"{self.name}: its slices lie {gaps.min():.3g} to {gaps.max():.3g} mm apart; "
                "slices are missing or doubled, or two series lie in one folder"
            )
        return float(np.median(gaps))


def _read_masks(image: Volume, series: _Series, files: list[Path], folder: Path) -> tuple[Volume, dict[int, str]]:
    """The masks of a series, and the names that they give their classes."""
    if not files:
        raise InputError(f"{folder}: holds no masks")
    if is_dicom(files[0]):
        frames = read_frames(files)
        if frames[0].dataset.get("Modality") == "RTSTRUCT":
            raise InputError(f"{files[0]}: holds contours (RTSTRUCT), which are not read; convert them to SEG or NIfTI")
        if is_segmentation(frames[0]):
            return segment_volume(frames, image), segment_names(frames)
        masks = _Series(files)
        return Volume(masks.name, masks.pixels(rescale=False), masks.affine()), {}
    if len(files) != len(series.frames):
        raise InputError(f"{folder}: holds {len(files)} masks for the {len(series.frames)} slices of {series.name}")
    values = [read_mask(files[i]).values for i in series.order]
    return Volume(str(folder), np.stack(values, axis=-1), image.affine), {}


def _check_one_series(name: str, frames: list[DicomSlice]) -> None:
    for frame in frames:
        if missing := frame.missing(placed=len(frames) > 1):
            raise InputError(f"{frame.file}: lacks {', '.join(missing)}, which place it in its series")
    places = [(*np.ravel(frame.directions), *frame.spacing) for frame in frames] if len(frames) > 1 else []
    kinds = {(frame.shape, frame.dataset.get("SeriesInstanceUID")) for frame in frames}
    if len(set(places)) > 1 or len(kinds) > 1:
        raise InputError(f"{name}: holds slices of several series or sizes; one series per folder is read")
    check_header(name, (*frames[0].shape, len(frames)))


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name[0] != ".")


def _files(path: Path) -> list[Path]:
    """The files of a series in the order of their names, numbers in them counted: 2 before 10."""
    files = [path] if path.is_file() else [f for f in path.iterdir() if f.is_file() and f.name[0] != "."]
    files = [file for file in files if file.name.upper() != "DICOMDIR"]
    return sorted(
        files, key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]
    )


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else re.sub(r"(\.nii(\.gz)?|\.[a-zA-Z]+)$", "", path.name)
