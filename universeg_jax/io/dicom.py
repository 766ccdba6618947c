"""Slices of DICOM files: a file holds one slice, or many in a multi-frame object."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.util.files import check_regular

if TYPE_CHECKING:  # imported where it is used: other volumes are read without it
    import pydicom

MAX_FRAMES = 100_000
TWELVE_BITS = "1.2.840.10008.1.2.4.51"  # JPEG Extended, which GDCM reads with 8 bits only


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """One slice, and its place in the patient.

    Attributes:
        dataset: the header of its file; pixels are read when they are needed.
        path: the file.
        index: its number in the file.
    """

    dataset: "pydicom.Dataset"
    path: Path
    index: int = 0

    @property
    def file(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def position(self) -> np.ndarray:
        """Centre of the first pixel: millimetres to the left, back and head."""
        return self._numbers("PlanePositionSequence", "ImagePositionPatient", 3)

    @property
    def directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors along a row and along a column."""
        cosines = self._numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
        return cosines[:3], cosines[3:]

    @property
    def spacing(self) -> np.ndarray:
        """Millimetres from row to row, and from column to column."""
        return self._numbers("PixelMeasuresSequence", "PixelSpacing", 2)

    @property
    def segment(self) -> int:
        """Number of the segment that it shows; 0 for images."""
        return int(self._tag("SegmentIdentificationSequence", "ReferencedSegmentNumber", 0))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.number("Rows"), self.number("Columns")

    @property
    def inverted(self) -> bool:
        """True where low values are shown white, except for Hounsfield units, which keep their meaning."""
        units = str(self.get("RescaleType", "")) == "HU" or self.get("Modality") == "CT"
        return self.get("PhotometricInterpretation") == "MONOCHROME1" and not units

    @property
    def stored_range(self) -> tuple[int, int] | None:
        """Lowest and highest value that can be stored; None if the header rescales values."""
        if self.get("ModalityLUTSequence") or self._rescaling != (1.0, 0.0):
            return None
        bits = self.number("BitsStored", 16)
        signed = self.number("PixelRepresentation")
        return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def get(self, name: str, default=None):
        """Read a tag of the file; the default if it is missing or empty.

        Raises:
            InputError: a damaged value.
        """
        return _value(self.dataset, name, self.path, default)

    def number(self, name: str, default: int = 0) -> int:
        """Read a tag of the file that is a whole number.

        Raises:
            InputError: a damaged value, or one that is no number.
        """
        value = self.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{self.path}: its {name} must be a whole number; it is {str(value)[:60]!r}") from None

    def missing(self, *, placed: bool) -> list[str]:
        """List the tags that it lacks; `placed` asks for its place too."""
        found = {name: self.get(name) for name in ("Rows", "Columns")}
        if placed:
            found["ImagePositionPatient"] = self._tag("PlanePositionSequence", "ImagePositionPatient")
            found["ImageOrientationPatient"] = self._tag("PlaneOrientationSequence", "ImageOrientationPatient")
            found["PixelSpacing"] = self._tag("PixelMeasuresSequence", "PixelSpacing")
        return [name for name, value in found.items() if not value]

    def pixels(self, *, rescale: bool) -> np.ndarray:
        """Read the pixels: (rows, columns), or (rows, columns, 3) of a colour picture.

        Args:
            rescale: give values in the units of the modality, float32 where the header changes them.

        Raises:
            InputError: pixels that cannot be decoded.
        """
        import pydicom

        try:
            dataset = _dataset(self.path, self.path.stat().st_mtime_ns)
            pixels = pydicom.pixels.pixel_array(dataset, index=self.index)
            if self.get("PhotometricInterpretation") == "PALETTE COLOR":
                return pydicom.pixels.apply_color_lut(pixels, dataset)
            if self.get("ModalityLUTSequence") and rescale:
                return pydicom.pixels.apply_modality_lut(pixels, dataset).astype(np.float32)
        except Exception as error:  # damaged or missing pixels, or a compression without a decoder
            reason = " ".join(str(error).split())[:300]
            if not self.get("Rows"):
                raise InputError(f"{self.file}: holds no picture ({self.get('Modality', 'of no modality')})") from None
            raise InputError(f"{self.file}: its pixels cannot be decoded ({reason}); {self._remedy()}") from None
        slope, intercept = self._rescaling
        if not rescale or pixels.ndim == 3 or (slope, intercept) == (1.0, 0.0):
            return pixels
        return pixels * np.float32(slope) + np.float32(intercept)

    @property
    def _rescaling(self) -> tuple[float, float]:
        sequence = "PixelValueTransformationSequence"
        try:
            slope = float(self._tag(sequence, "RescaleSlope", 1))
            intercept = float(self._tag(sequence, "RescaleIntercept", 0))
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.file}: its RescaleSlope or RescaleIntercept is no number ({error})") from None
        if not np.isfinite([slope, intercept]).all() or slope == 0:
            raise InputError(f"{self.file}: rescales values by {slope} and {intercept}; repair the header")
        return slope, intercept

    def _remedy(self) -> str:
        if self.dataset.file_meta.get("TransferSyntaxUID") == TWELVE_BITS:
            return "12-bit JPEG needs pip install pylibjpeg pylibjpeg-libjpeg"
        return "decompress the series, for instance with gdcmconv --raw"

    def _numbers(self, sequence: str, name: str, length: int) -> np.ndarray:
        value = self._tag(sequence, name)
        try:
            numbers = np.array(value, float)
        except (TypeError, ValueError):
            numbers = np.zeros(0)
        if numbers.shape != (length,) or not np.isfinite(numbers).all():
            raise InputError(f"{self.file}: its {name} must be {length} numbers; it is {value}")
        return numbers

    def _tag(self, sequence: str, name: str, default=None):
        """Find a tag of this frame, of all frames of the file, or as files of one frame have it."""
        own = self.get("PerFrameFunctionalGroupsSequence", [])[self.index : self.index + 1]
        for group in (*own, *self.get("SharedFunctionalGroupsSequence", [])):
            if found := _value(group, sequence, self.path, None):
                return _value(found[0], name, self.path, default)
        return self.get(name, default)


def read_frames(files: Sequence[Path]) -> list[DicomSlice]:
    """Read the headers of some files: one entry per frame.

    Raises:
        InputError: a file that is no DICOM.
    """
    frames = []
    for file in files:
        first = DicomSlice(_read(file, stop_before_pixels=True), Path(file))
        number = first.number("NumberOfFrames", 1)
        if not 1 <= number <= MAX_FRAMES:
            raise InputError(f"{file}: says that it has {number} frames; 1 to {MAX_FRAMES} are read")
        frames += [first, *(DicomSlice(first.dataset, first.path, i) for i in range(1, number))]
    return frames


def is_dicom(file: Path) -> bool:
    """Tell whether a file begins as DICOM files do, with the preamble or without."""
    try:
        check_regular(file)
        with file.open("rb") as stream:
            start = stream.read(132)
    except (InputError, OSError):
        return False
    return start[128:] == b"DICM" or _begins_with_a_tag(start)


def _begins_with_a_tag(start: bytes) -> bool:
    """Tell whether bytes are a first element of group 2 or 8, as files without preamble begin."""
    if len(start) < 12 or start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] != 0:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or 0 < int.from_bytes(start[4:8], "little") <= 64


def _value(dataset: "pydicom.Dataset", name: str, file: Path, default):
    """Convert a tag from its bytes when it is used, so that only relevant damage is refused."""
    try:
        value = dataset.get(name)
    except Exception as error:  # pydicom raises almost anything for values that do not fit their type
        raise InputError(f"{file}: its {name} is damaged ({' '.join(str(error).split())[:200]})") from None
    return default if value is None or (isinstance(value, str) and not value) else value


def _read(file: Path, *, stop_before_pixels: bool = False) -> "pydicom.Dataset":
    import pydicom

    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=stop_before_pixels, force=is_dicom(Path(file)))
        if not len(dataset):
            raise ValueError("it holds no element")
        if "TransferSyntaxUID" not in dataset.file_meta:  # without preamble: the default of the standard
            little = dataset.original_encoding
            syntax = pydicom.uid.ImplicitVRLittleEndian if little[0] else pydicom.uid.ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax
        return dataset
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except Exception as error:  # damaged files make pydicom raise almost anything
        raise InputError(f"{file}: cannot be read as DICOM ({error})") from None


@lru_cache(maxsize=1)
def _dataset(file: Path, changed: int) -> "pydicom.Dataset":
    """Read a whole file, and keep it while its frames are read one after the other."""
    return _read(file)
