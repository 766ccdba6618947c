"""Pairs of images and masks by name, and the file of confirmed empty slices."""

import pytest

from universeg_jax.errors import InputError
from universeg_jax.io.pairing import EMPTY_SLICES, EmptySlices, find_folders, is_mask_name, pair_names


@pytest.mark.parametrize(
    ("images", "masks", "pairs"),
    [
        (["a", "b"], ["b", "a"], {"a": "a", "b": "b"}),
        (["img0001", "img0002"], ["label0001", "label0002"], {"img0001": "label0001", "img0002": "label0002"}),
        (["a", "b"], ["a_mask", "b_mask"], {"a": "a_mask", "b": "b_mask"}),
        (["img_1", "img_2"], ["mask_1", "mask_2"], {"img_1": "mask_1", "img_2": "mask_2"}),
        (["case1_0000", "case2_0000"], ["case1", "case2"], {"case1_0000": "case1", "case2_0000": "case2"}),
        (["x_image"], ["x_segmentation"], {"x_image": "x_segmentation"}),
        (["a", "b"], ["a_gt"], {"a": "a_gt"}),
        (["mask", "imaging1"], ["mask", "imaging1"], {"mask": "mask", "imaging1": "imaging1"}),
        (["a"], ["b"], {}),
    ],
)
def test_pairs(images, masks, pairs):
    assert pair_names(images, masks) == pairs


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (["a"], ["a_mask", "a_gt"], "image a may belong to the mask a_mask or a_gt"),
        (["img1", "image1"], ["mask1"], "mask mask1 may belong to the image img1 or image1"),
    ],
)
def test_two_possible_pairs_are_refused(images, masks, message):
    with pytest.raises(InputError, match=message):
        pair_names(images, masks)


def test_names_of_masks():
    assert all(map(is_mask_name, ["a_mask", "label0001", "Mask-3", "x_GT", "seg_12"]))
    assert not any(map(is_mask_name, ["a", "img0001", "maskara_a", "mask", "gt", "segmentation"]))


def test_folders(tmp_path):
    assert find_folders(tmp_path) is None
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    assert find_folders(tmp_path) == (tmp_path / "imagesTr", tmp_path / "labelsTr")
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="holds both masks/ and labelsTr/"):
        find_folders(tmp_path)


def test_what_is_written_is_read_again_and_nothing_leaves_no_file(tmp_path):
    EmptySlices("axial", {"b": [4], "a": [0, 7], "c": []}).write(tmp_path)
    assert EmptySlices.read(tmp_path) == EmptySlices("axial", {"a": [0, 7], "b": [4]})
    EmptySlices("axial", {"a": []}).write(tmp_path)
    assert not (tmp_path / EMPTY_SLICES).exists()
    assert EmptySlices.read(tmp_path) == EmptySlices()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"axis": 1, "slices": {}}',
        '{"axis": "axial", "slices": {"a": [-1]}}',
        '{"axis": "axial", "slices": {"a": [true]}}',
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content):
    (tmp_path / EMPTY_SLICES).write_text(content)
    with pytest.raises(InputError, match=r"empty-slices\.json: must hold"):
        EmptySlices.read(tmp_path)
