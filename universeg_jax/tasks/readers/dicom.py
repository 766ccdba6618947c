"""DICOM series with masks.

SOURCE/images/a/*          one series per folder, a CT or MR volume; or images/a.dcm, a single picture
SOURCE/masks/a.nii.gz      a mask in the place of the series; or
SOURCE/masks/a/*.dcm       a parallel series with the class values, matched by position; or
SOURCE/masks/a/*.png       one mask per DICOM file, in the order of file names; masks/a.png for a single picture

Names of classes stand in SOURCE/classes.json, {"1": "liver"}. DICOM SEG and RTSTRUCT are not read.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pydicom

from universeg_jax.errors import InputError
from universeg_jax.segment.masks import read_mask
from universeg_jax.tasks.readers.nifti import read_volume
from universeg_jax.tasks.readers.pairs import pair_up
from universeg_jax.tasks.readers.pictures import read_class_names
from universeg_jax.tasks.readers.volume import Volume, check_header, volume_scan
from universeg_jax.tasks.source import Item, Scan, Source

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts to the left and back, NIfTI to the right and front


def matches(folder: Path) -> bool:
    """Whether a DICOM file lies in images/ or in a folder of it."""
    files = (file for pattern in ("*", "*/*") for file in sorted((folder / "images").glob(pattern)) if file.is_file())
    return any(_is_dicom(file) for file, _ in zip(files, range(8), strict=False))


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
    modality = modality or str(series.slices[0].get("Modality", "unknown"))
    if len(files) == 1:
        return [Scan(series.pixels()[..., 0], read_mask(mask_path).values, class_names, modality)]
    if mask_path.name.endswith((".nii", ".nii.gz")):
        mask = read_volume(mask_path)
    else:
        mask = _mask_series(series, _files(mask_path), mask_path)
    image = Volume(series.name, series.pixels(), series.affine())
    return [volume_scan(image, mask, class_names, modality)]


class _Series:
    """The files of one series, sorted by their position in the patient."""

    def __init__(self, files: list[Path]):
        self.name = str(files[0] if len(files) == 1 else files[0].parent)
        slices = [_read(file) for file in files]
        _check_one_series(self.name, slices)
        if len(slices) > 1:
            self.normal = np.cross(*_directions(slices[0]))
            heights = [float(np.dot(self.normal, _position(s))) for s in slices]
        else:
            heights = [0.0]
        order = np.argsort(heights, kind="stable")
        self.order = order.tolist()
        self.slices = [slices[i] for i in order]
        self.heights = np.array(heights)[order]

    def pixels(self, *, rescale: bool = True) -> np.ndarray:
        """(rows, columns, slices), in the units of the modality when rescaled."""
        return np.stack([_pixels(s, rescale=rescale) for s in self.slices], axis=-1)

    def affine(self) -> np.ndarray:
        """From (row, column, slice) to millimetres to the right, front and head."""
        first = self.slices[0]
        along_columns, along_rows = _directions(first)
        row_spacing, column_spacing = (float(mm) for mm in first.PixelSpacing)
        affine = np.eye(4)
        affine[:3, 0] = along_rows * row_spacing
        affine[:3, 1] = along_columns * column_spacing
        affine[:3, 2] = self.normal * self._gap()
        affine[:3, 3] = _position(first)
        return LPS_TO_RAS @ affine

    def _gap(self) -> float:
        gaps = np.diff(self.heights)
        if gaps.min() <= 0 or gaps.max() > 1.5 * gaps.min():
            raise InputError(
                f"{self.name}: its slices lie {gaps.min():.3g} to {gaps.max():.3g} mm apart; "
                "slices are missing or doubled, or two series lie in one folder"
            )
        return float(np.median(gaps))


def _mask_series(series: _Series, files: list[Path], folder: Path) -> Volume:
    if not files:
        raise InputError(f"{folder}: holds no masks")
    if _is_dicom(files[0]):
        masks = _Series(files)
        return Volume(masks.name, masks.pixels(rescale=False), masks.affine())
    if len(files) != len(series.slices):
        raise InputError(f"{folder}: holds {len(files)} masks for the {len(series.slices)} slices of {series.name}")
    values = [read_mask(files[i]).values for i in series.order]
    return Volume(str(folder), np.stack(values, axis=-1), series.affine())


def _read(file: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(file)
    except Exception as error:  # damaged files make pydicom raise almost anything
        raise InputError(f"{file}: cannot be read as DICOM ({error})") from None


def _pixels(dataset: pydicom.Dataset, *, rescale: bool) -> np.ndarray:
    try:
        pixels = dataset.pixel_array.astype(np.float32)
    except Exception as error:  # damaged or missing pixels, or a compression that pydicom has no decoder for
        raise InputError(
            f"{dataset.filename}: its pixels cannot be decoded ({error}); "
            "decompress the series, for instance with gdcmconv --raw"
        ) from None
    if pixels.ndim != 2:
        raise InputError(f"{dataset.filename}: pixels are {pixels.shape}; one grey slice per file is read")
    if not rescale:
        return pixels
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # low values are white
        pixels = pixels.max() - pixels
    return pixels * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))


def _check_one_series(name: str, slices: list[pydicom.Dataset]) -> None:
    needed = ["Rows", "Columns"]
    if len(slices) > 1:
        needed += ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
    for dataset in slices:
        missing = [tag for tag in needed if not dataset.get(tag)]
        if missing:
            raise InputError(f"{dataset.filename}: lacks {', '.join(missing)}, which place it in its series")
    shapes = {(s.Rows, s.Columns, *s.get("ImageOrientationPatient", ()), *s.get("PixelSpacing", ())) for s in slices}
    if len(shapes) > 1 or len({s.get("SeriesInstanceUID") for s in slices}) > 1:
        raise InputError(f"{name}: holds slices of several series or sizes; one series per folder is read")
    check_header(name, (slices[0].Rows, slices[0].Columns, len(slices)))


def _directions(dataset: pydicom.Dataset) -> tuple[np.ndarray, np.ndarray]:
    cosines = np.array(dataset.ImageOrientationPatient, float)
    return cosines[:3], cosines[3:]


def _position(dataset: pydicom.Dataset) -> np.ndarray:
    return np.array(dataset.ImagePositionPatient, float)


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


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
