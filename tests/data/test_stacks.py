import numpy as np
import pytest

from tests.helpers.stacks import stack, write_alpnet
from universeg_jax.data.stacks import check_organs, read_stacks
from universeg_jax.errors import InputError


def test_a_folder_is_read_as_slices_in_order(tmp_path):
    written = [stack(str(i), seed=i) for i in (2, 10)]
    write_alpnet(tmp_path / "scans", written)
    found = {one.name: one for one in read_stacks(tmp_path / "scans", modality="MR")}
    assert set(found) == {"2", "10"}
    for one in written:
        read = found[one.name]
        np.testing.assert_array_equal(read.labels, one.labels)
        assert read.spacing == (2.0, 1.0, 1.0)
        assert np.corrcoef(read.images.ravel(), one.images.ravel())[0, 1] > 0.99
        assert (read.images.min(), read.images.max()) == (0, 1)
        assert read.organs == ["1", "2"]


def test_an_organ_is_its_slices_and_masks():
    one = stack("a")
    organ = one.organ("rod")
    assert organ.slices.tolist() == list(range(2, 9))
    np.testing.assert_array_equal(organ.masks, one.labels[2:] == 2)
    np.testing.assert_array_equal(organ.images, one.images[2:])
    assert len(one.organ("heart")) == 0


def test_a_window_and_a_crop_are_applied(tmp_path):
    one = stack("1", size=20)
    write_alpnet(tmp_path / "scans", [one])
    (read,) = read_stacks(tmp_path / "scans", modality="MR", window=(200.0, 700.0), crop=2)
    expected = (np.clip(np.round(1000 * one.images), 200, 700) - 200) / 500
    np.testing.assert_allclose(read.images, expected[:, 2:-2, 2:-2], atol=1e-6)
    np.testing.assert_array_equal(read.labels, one.labels[:, 2:-2, 2:-2])
    with pytest.raises(InputError, match="crop=10"):
        read_stacks(tmp_path / "scans", modality="MR", crop=10)


def test_the_modality_must_be_known(tmp_path):
    write_alpnet(tmp_path / "scans", [stack("1")])
    with pytest.raises(InputError, match="pass --modality CT, or MR"):
        read_stacks(tmp_path / "scans")


def test_a_missing_label_is_named(tmp_path):
    write_alpnet(tmp_path / "scans", [stack("1"), stack("2")])
    (tmp_path / "scans" / "label_2.nii.gz").unlink()
    with pytest.raises(InputError, match=r"image_2\.nii\.gz: there is no mask of this name"):
        read_stacks(tmp_path / "scans", modality="MR")


def test_fingerprints_follow_images_and_labels():
    prints = {stack("a").fingerprint, stack("a", seed=1).fingerprint, stack("b").fingerprint}
    assert len(prints) == 2  # the name is no part of it


def test_organs_are_those_that_scans_show():
    assert check_organs([stack("a")], None) == ["ball", "rod"]
    assert check_organs([stack("a")], ("rod",)) == ["rod"]
