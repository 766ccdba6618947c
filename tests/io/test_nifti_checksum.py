import gzip

import nibabel
import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.io.nifti import read_nifti


@pytest.fixture
def content():
    voxels = np.random.default_rng(0).integers(0, 1000, (9, 8, 7)).astype(np.int16)
    return nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes()


def test_a_flipped_bit_in_a_compressed_file_is_refused(tmp_path, content):
    file = tmp_path / "a.nii.gz"
    # Without compression, every bit stands for a bit of a voxel, and only the checksum shows the flip.
    file.write_bytes(gzip.compress(content, 0))
    expected = read_nifti(file).voxels
    flipped = bytearray(file.read_bytes())
    flipped[500] ^= 4
    file.write_bytes(flipped)
    with pytest.raises(InputError, match=r"a.nii.gz: cannot be read as NIfTI; the file is damaged .*CRC"):
        read_nifti(file)
    flipped[500] ^= 4
    file.write_bytes(flipped)
    np.testing.assert_array_equal(read_nifti(file).voxels, expected)


def test_far_more_than_the_header_announces_is_refused(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(2**24 + 2**21)))
    with pytest.raises(InputError, match=r"holds more than the .* bytes that its header announces"):
        read_nifti(tmp_path / "a.nii.gz")
