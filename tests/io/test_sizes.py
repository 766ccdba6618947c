import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from universeg_jax.io.sizes import BYTES_PER_VALUE, EXPANSION, memory_to_prepare


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.png", "a.tif", "a.JPG"])
def test_headers_tell_the_size_whatever_the_compression(tmp_path, name):
    file = tmp_path / name
    if name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(np.zeros((30, 20, 10), np.int16), np.eye(4)), file)
    elif name.endswith((".nrrd", ".mha")):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((10, 20, 30), np.int16)), str(file), True)
    else:
        Image.fromarray(np.zeros((200, 30), np.uint8)).save(file)
    assert memory_to_prepare(file) == BYTES_PER_VALUE * 6000


def test_arrays_count_once_and_slices_of_a_folder_together(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((5, 40, 50), np.uint8))
    assert 10_000 <= memory_to_prepare(tmp_path / "a.npz") < 10_500
    (tmp_path / "series").mkdir()
    for i in range(3):
        (tmp_path / "series" / f"{i}.dcm").write_bytes(bytes(100))
    assert memory_to_prepare(tmp_path / "series") == 300 * EXPANSION * BYTES_PER_VALUE


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.png", "a.npz", "gone.nii"])
def test_damaged_files_count_nothing(tmp_path, name):
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"damaged")
    assert memory_to_prepare(tmp_path / name) == 0
