"""Mutated headers and bodies of NIfTI, DICOM, NRRD and MetaImage: read or refused by name, and nothing else."""

import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK

from tests.helpers.make_sources import dicom_series
from universeg_jax.errors import InputError
from universeg_jax.io.volume_files import read_channels

TRIED = 250  # files of each format

VOXELS = np.random.default_rng(0).integers(-500, 500, (9, 10, 11)).astype(np.int16)


def original(folder, name):
    """One honest file of a format."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    if ".nii" in name:
        nibabel.save(nibabel.Nifti1Image(VOXELS, np.diag([1.0, 2, 3, 1])), file)
    elif name.endswith(".dcm"):
        dicom_series(folder, VOXELS[..., :1])[0].rename(file)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(file))
    return file


def mutated(content, rng):
    """Bytes with some changed, most of them in the header; some cut out, put in twice or set to extremes."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        end = 400 if rng.random() < 0.8 else len(data)
        at = int(rng.integers(0, max(1, min(end, len(data)))))
        length = int(rng.integers(1, 9))
        match int(rng.integers(0, 5)):
            case 0:
                data[at : at + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                data[at : at + length] = rng.bytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case _:
                data[at : at + length] = bytes([int(rng.choice([0, 127, 128, 255]))]) * length
    return bytes(data[: int(rng.integers(0, len(data)))] if rng.random() < 0.05 else data)


def fuzz(folder, name, tried, seed):
    """Read mutated files; return how many were read and refused."""
    file = original(folder, name)
    content, rng = file.read_bytes(), np.random.default_rng(seed)
    read = refused = 0
    for _ in range(tried):
        file.write_bytes(mutated(content, rng))
        refusal = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                volume = read_channels(file)
            except InputError as error:
                refusal = str(error)
        if refusal:
            assert str(file) in refusal
            refused += 1
        else:
            assert volume.voxels.nbytes <= 1032 * len(content)  # as much as deflate can unpack
            read += 1
    return read, refused


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.dcm"])
def test_mutated_files(tmp_path, name):
    read, refused = fuzz(tmp_path, name, TRIED, seed=0)
    assert read + refused == TRIED
    assert read > 0 or name.endswith(".gz")  # a checksum refuses almost every change
    assert refused > 0
