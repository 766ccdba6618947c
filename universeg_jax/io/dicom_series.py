"""A DICOM series as a volume: its slices sorted, checked and stacked."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.dicom import DicomSlice, is_dicom, read_frames
from universeg_jax.io.itk import LPS_TO_RAS
from universeg_jax.io.volumes import Volume, check_header
from universeg_jax.util.files import check_regular

ROUNDED = 1e-3  # allowed difference of direction cosines and relative spacings: headers have few digits
POSITION = 0.1  # millimetres that a position may be rounded by
STRAIGHT = 0.5  # degrees of gantry tilt that are rounding


class Series:
    """The frames of one series, sorted by their position in the patient.

    Args:
        files: the files of the series, in any order.

    Raises:
        InputError: no DICOM, slices of several series, slices without place, unequal gaps.
    """

    def __init__(self, files: Sequence[Path]):
        self.name = str(files[0] if len(files) == 1 else files[0].parent)
        self.files = tuple(files)
        frames = read_frames(files)
        _check_one_series(self.name, frames)
        self.order = [0]
        if len(frames) > 1:
            normal = np.cross(*frames[0].directions)
            heights = np.array([float(np.dot(normal, frame.position)) for frame in frames])
            self.order = np.argsort(heights, kind="stable").tolist()
            self.step = _step(self.name, [frames[i] for i in self.order], heights[self.order])
        self.frames = [frames[i] for i in self.order]

    @property
    def modality(self) -> str:
        """ "CT", "MR", ...; "unknown" where the header does not say."""
        return str(self.frames[0].get("Modality", "unknown"))

    def pixels(self, *, rescale: bool = True) -> np.ndarray:
        """Read (rows, columns, slices); (rows, columns, slices, 3) in colour.

        Args:
            rescale: give values in the units of the modality, low values black.
        """
        first = self.frames[0].pixels(rescale=rescale)
        stack = np.empty((*first.shape[:2], len(self.frames), *first.shape[2:]), _compact(first))
        for i, frame in enumerate(self.frames):
            pixels = frame.pixels(rescale=rescale) if i else first
            if pixels.shape != first.shape:
                raise InputError(
                    f"{frame.file}: its pixels are {pixels.shape}, those of {self.frames[0].file} {first.shape}"
                )
            if not _holds(stack.dtype, pixels):
                stack = stack.astype(np.float32)
            stack[:, :, i] = pixels
        if rescale and self.frames[0].inverted:
            bounds = self.frames[0].stored_range or (stack.min(), stack.max())
            stack = np.float32(sum(map(float, bounds))) - stack.astype(np.float32)  # one constant for the series
        return stack

    def affine(self) -> np.ndarray:
        """Compute the affine from (row, column, slice) to millimetres to the right, front and head."""
        first = self.frames[0]
        along_rows, along_columns = first.directions
        row_spacing, column_spacing = first.spacing
        affine = np.eye(4)
        affine[:3, 0] = along_columns * row_spacing
        affine[:3, 1] = along_rows * column_spacing
        affine[:3, 2] = self.step if len(self.frames) > 1 else np.cross(along_rows, along_columns)
        affine[:3, 3] = first.position
        return LPS_TO_RAS @ affine

    def volume(self) -> Volume:
        """Read the series as a volume, axes row, column and slice. A tilted gantry is a sheared affine.

        Raises:
            InputError: pixels that cannot be decoded.
        """
        return Volume(self.name, self.pixels(), self.affine(), self.modality)

    @property
    def tilt(self) -> float:
        """Degrees between the step from slice to slice and the normal of the slices; 0 up to rounding."""
        if len(self.frames) == 1:
            return 0.0
        cosine = np.dot(np.cross(*self.frames[0].directions), self.step) / np.linalg.norm(self.step)
        degrees = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        return degrees if degrees > STRAIGHT else 0.0


def list_series(path: Path) -> dict[str, list[Path]]:
    """Find the series of a folder: each folder in it that holds DICOM files is one, and so is each multi-frame file.

    Args:
        path: a DICOM file; a folder of the slices of one series; or a folder of folders or of multi-frame files.

    Returns:
        The files of each series by its name: the path below `path` with "_" between folders, or the name of `path`
            itself.
    """
    if path.is_file():
        return {_stem(path): [path]} if is_dicom(path) else {}
    found = {}
    for folder in sorted({path, *(place for place in path.rglob("*") if place.is_dir())}):
        files = series_files(folder)
        if files and is_dicom(files[0]):
            name = "_".join(folder.relative_to(path).parts) or folder.resolve().name
            found[name] = files
    return found


def series_files(path: Path) -> list[Path]:
    """List the files of a series sorted by name, with numbers in order: 2 before 10.

    Raises:
        InputError: something else than a file or a folder, such as a pipe or a link to a file that is gone.
    """
    files = [path] if path.is_file() else [f for f in path.iterdir() if not f.is_dir() and f.name[0] != "."]
    files = [file for file in files if file.name.upper() != "DICOMDIR"]
    for file in files:
        check_regular(file)
    return sorted(files, key=_natural)


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", file.name)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _stem(path: Path) -> str:
    return re.sub(r"\.(dcm|dicom|ima)$", "", path.name, flags=re.IGNORECASE)


def _compact(first: np.ndarray) -> type:
    """Return the type to stack slices in: 2 bytes if they hold the values."""
    if first.ndim == 3:
        return first.dtype.type
    return np.int16 if _holds(np.dtype(np.int16), first) else np.float32


def _holds(dtype: np.dtype, pixels: np.ndarray) -> bool:
    if dtype.kind == "f" or pixels.dtype == dtype:
        return True
    if pixels.dtype.kind == "f" and not np.array_equal(pixels, np.rint(pixels)):
        return False
    bounds = np.iinfo(dtype)
    return bounds.min <= pixels.min() and pixels.max() <= bounds.max


def _step(name: str, frames: Sequence[DicomSlice], heights: np.ndarray) -> np.ndarray:
    """Compute the vector from slice to slice, and check that it is the same between all of them."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    allowed = min(POSITION, 0.2 * usual) + 0.01 * usual
    wrong = np.flatnonzero(np.abs(gaps - usual) > allowed)
    if usual <= 0 or len(wrong):
        i = int(wrong[0]) if len(wrong) else int(gaps.argmin())
        raise InputError(
            f"{name}: its slices lie {gaps.min():.4g} to {gaps.max():.4g} mm apart, {gaps[i]:.4g} mm between "
            f"{_called(frames[i])} and {_called(frames[i + 1])}; slices are missing or doubled, or two series lie in "
            "one folder"
        )
    positions = np.array([frame.position for frame in frames])
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    off = np.linalg.norm(positions - positions[0] - np.arange(len(frames))[:, None] * step, axis=1)
    if off.max() > max(2 * POSITION, 0.1 * usual):
        i = int(off.argmax())
        raise InputError(
            f"{name}: its slices do not lie on a straight line: {_called(frames[i])} is {off[i]:.3g} mm off it; "
            "resample the series to parallel slices above each other"
        )
    return step


def _called(frame: DicomSlice) -> str:
    return frame.path.name + (f" frame {frame.index + 1}" if frame.number("NumberOfFrames", 1) > 1 else "")


def _check_one_series(name: str, frames: Sequence[DicomSlice]) -> None:
    if not frames:
        raise InputError(f"{name}: holds no frames")
    for frame in frames:
        if missing := frame.missing(placed=len(frames) > 1):
            raise InputError(f"{frame.file}: lacks {', '.join(missing)}, which place it in its series")
    check_header(name, (*frames[0].shape, len(frames)))
    series = Counter(str(frame.get("SeriesInstanceUID")) for frame in frames)
    if len(series) > 1:
        counts = ", ".join(f"{number} of {uid}" for uid, number in series.most_common(3))
        raise InputError(f"{name}: holds slices of {len(series)} series ({counts}); one series per folder is read")
    if len(frames) == 1:
        return
    first = frames[0]
    for frame in frames:
        for what, own, other, allowed in (
            ("shape", frame.shape, first.shape, 0),
            ("ImageOrientationPatient", np.ravel(frame.directions), np.ravel(first.directions), ROUNDED),
            ("PixelSpacing", frame.spacing, first.spacing, ROUNDED * first.spacing),
            ("PhotometricInterpretation (MONOCHROME1)", frame.inverted, first.inverted, 0),
        ):
            if (np.abs(np.subtract(own, other, dtype=float)) > allowed).any():
                raise InputError(
                    f"{name}: its slices are not of one series or size: {what} is {np.asarray(own).tolist()} in "
                    f"{_called(frame)} and {np.asarray(other).tolist()} in {_called(first)}"
                )
