"""Slices of DICOM files: a file holds one, or as a multi-frame object many."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from universeg_jax.errors import InputError


@dataclass(frozen=True)
class DicomSlice:
    """One slice, and its place in the patient.

    Attributes:
        index: its number in the file.
    """

    dataset: pydicom.Dataset
    index: int = 0

    @property
    def file(self) -> str:
        return str(self.dataset.filename)

    @property
    def position(self) -> np.ndarray:
        """Of the centre of the first pixel: millimetres to the left, back and head."""
        return np.array(self._tag("PlanePositionSequence", "ImagePositionPatient"), float)

    @property
    def directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors along a row and along a column."""
        cosines = np.array(self._tag("PlaneOrientationSequence", "ImageOrientationPatient"), float)
        return cosines[:3], cosines[3:]

    @property
    def spacing(self) -> np.ndarray:
        """Millimetres from row to row, and from column to column."""
        return np.array(self._tag("PixelMeasuresSequence", "PixelSpacing"), float)

    @property
    def segment(self) -> int:
        """The number of the segment that it shows; 0 of images."""
        return int(self._tag("SegmentIdentificationSequence", "ReferencedSegmentNumber", 0))

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.dataset.Rows), int(self.dataset.Columns)

    def missing(self, *, placed: bool) -> list[str]:
        """The tags that it lacks; `placed` asks for its place too."""
        found = {name: self.dataset.get(name) for name in ("Rows", "Columns")}
        if placed:
            found["ImagePositionPatient"] = self._tag("PlanePositionSequence", "ImagePositionPatient")
            found["ImageOrientationPatient"] = self._tag("PlaneOrientationSequence", "ImageOrientationPatient")
            found["PixelSpacing"] = self._tag("PixelMeasuresSequence", "PixelSpacing")
        return [name for name, value in found.items() if not value]

    def pixels(self, *, rescale: bool) -> np.ndarray:
        """(rows, columns) float32, in the units of the modality when rescaled.

        Raises:
            InputError: pixels that cannot be decoded, or have colours.
        """
        try:
            pixels = self.dataset.pixel_array
        except Exception as error:  # damaged or missing pixels, or a compression that pydicom has no decoder for
            raise InputError(
                f"{self.file}: its pixels cannot be decoded ({error}); "
                "decompress the series, for instance with gdcmconv --raw"
            ) from None
        if self.dataset.get("SamplesPerPixel", 1) != 1:
            raise InputError(f"{self.file}: has colours; grey slices are read")
        pixels = (pixels[self.index] if pixels.ndim == 3 else pixels).astype(np.float32)
        if not rescale:
            return pixels
        if self.dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # low values are white
            pixels = pixels.max() - pixels
        slope = self._tag("PixelValueTransformationSequence", "RescaleSlope", 1)
        return pixels * float(slope) + float(self._tag("PixelValueTransformationSequence", "RescaleIntercept", 0))

    def _tag(self, sequence: str, name: str, default=None):
        """A tag of this frame, of all frames of the file, or as files of one frame have it."""
        own = self.dataset.get("PerFrameFunctionalGroupsSequence", [])[self.index : self.index + 1]
        for group in (*own, *self.dataset.get("SharedFunctionalGroupsSequence", [])):
            if group.get(sequence):
                return group[sequence][0].get(name, default)
        return self.dataset.get(name, default)


def read_frames(files: list[Path]) -> list[DicomSlice]:
    """All frames of some files.

    Raises:
        InputError: a file that is no DICOM.
    """
    datasets = [_read(file) for file in files]
    return [DicomSlice(dataset, i) for dataset in datasets for i in range(int(dataset.get("NumberOfFrames") or 1))]


def is_dicom(file: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _read(file: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(file)
    except Exception as error:  # damaged files make pydicom raise almost anything
        raise InputError(f"{file}: cannot be read as DICOM ({error})") from None
