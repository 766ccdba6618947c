"""Files that the libraries ship to test themselves: each is read, or refused with its name and a reason."""

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pydicom.data

from universeg_jax.errors import InputError
from universeg_jax.io.dicom import read_frames
from universeg_jax.io.dicom_series import Series
from universeg_jax.io.nifti import ENDINGS, read_nifti

DICOM = sorted(
    file
    for folder in ("test_files", "palettes", "charset_files")
    for file in (Path(pydicom.data.__file__).parent / folder).rglob("*")
    if file.is_file() and file.suffix not in (".py", ".txt", ".md")
)
NIFTI = sorted((Path(nibabel.__file__).parent / "tests" / "data").iterdir())
TWELVE_BITS = {"JPEG-lossy.dcm", "JPGExtended.dcm"}  # GDCM has no decoder for lossy JPEG of 12 bits


def expected_pixels(file):
    """Pixels of the first frame as pydicom gives them; None where it cannot."""
    try:
        dataset = pydicom.dcmread(file)
        pixels = pydicom.pixels.pixel_array(dataset, index=0)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            return pydicom.pixels.apply_color_lut(pixels, dataset)
        return pixels
    except Exception:
        return None


def attempt(read, file):
    """Read a file, and return the result and the message of a refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries comment on every odd header
        try:
            return read(file), ""
        except InputError as error:
            return None, str(error)


def test_files_of_pydicom():
    read = 0
    for file in DICOM:
        pixels, refusal = attempt(lambda file: read_frames([file])[0].pixels(rescale=False), file)
        if refusal:
            assert file.name in refusal
            assert len(refusal) > len(str(file)) + 10
            assert expected_pixels(file) is None or file.name in TWELVE_BITS
        else:
            read += 1
            np.testing.assert_array_equal(pixels, expected_pixels(file))
    assert read > 60, read


def test_series_of_pydicoms_files_are_volumes_or_refused():
    for file in DICOM:
        series, refusal = attempt(lambda file: (Series([file]), Series([file]).pixels()), file)
        if refusal:
            assert file.name in refusal
        else:
            assert np.isfinite(series[1].astype(float)).all()
            assert series[1].shape[2] == len(series[0].frames)


def test_files_of_nibabel():
    read = 0
    for file in NIFTI:
        if not file.name.endswith(ENDINGS):
            continue
        volume, refusal = attempt(read_nifti, file)
        if refusal:
            assert file.name in refusal
        else:
            read += 1
            expected = np.squeeze(np.asarray(nibabel.load(file).dataobj))
            np.testing.assert_allclose(np.squeeze(volume.voxels), expected, rtol=1e-5)
    assert read >= 5, read
