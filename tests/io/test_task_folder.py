import json

import numpy as np
import pytest
from PIL import Image

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.task_folder import TargetFile, find_targets, list_pictures, read_support, read_target

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
MASK = np.where(GREY > 20, 255, 0).astype(np.uint8)


def save(path, array=GREY):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def support(tmp_path):
    """A support folder with two pairs."""
    for name in ("a", "b"):
        save(tmp_path / "support" / "images" / f"{name}.jpg")
        save(tmp_path / "support" / "masks" / f"{name}.png", MASK)
    return tmp_path / "support"


def test_read_support(support):
    task = read_support(support)
    assert task.names == ["a", "b"]
    assert task.class_names == {0: "0", 255: "255"}
    assert task.images[0].shape == (6, 8)
    np.testing.assert_array_equal(task.labels[1], MASK)


def test_class_names(support):
    (support / "classes.json").write_text(json.dumps({"255": "nucleus", "7": "not here"}))
    assert read_support(support).class_names == {0: "0", 255: "nucleus"}


def test_class_names_of_colours(support):
    for name in ("a", "b"):
        save(support / "masks" / f"{name}.png", np.stack([MASK, MASK * 0, MASK * 0], axis=-1))
    (support / "classes.json").write_text(json.dumps({"#FF0000": "nucleus"}))
    assert read_support(support).class_names == {0: "#000000", 0xFF0000: "nucleus"}


@pytest.mark.parametrize("content", ["{", "[1]", '{"255": 3}', '{"0": "x", "255": "x"}', "\xff"])
def test_bad_class_names(support, content):
    (support / "classes.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"classes\.json"):
        read_support(support)


def test_lonely_images_and_masks_are_all_listed(support):
    save(support / "images" / "c.png")
    save(support / "masks" / "d.png")
    with pytest.raises(InputError, match=r"no image for masks/d\.png, no mask for images/c\.png"):
        read_support(support)


def test_sizes_that_differ(support):
    save(support / "masks" / "b.png", MASK[:, :5])
    with pytest.raises(InputError, match=r"b\.png: is 5x6 \(width x height\), but the image .*b\.jpg is 8x6"):
        read_support(support)


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_missing_folders(support, missing):
    (support / missing).rename(support / "other")
    with pytest.raises(InputError, match="must hold the folders images/ and masks/"):
        read_support(support)
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        read_support(support / "nowhere")


def test_hidden_files_are_passed_over_and_others_noted(support, recwarn):
    for name in (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini"):
        (support / "images" / name).write_bytes(b"x")
    assert list(list_pictures(support / "images")) == ["a", "b"]
    assert not recwarn.list
    (support / "images" / "notes.txt").write_text("x")
    with pytest.warns(SegmentationWarning, match=r"not images, ignored: notes\.txt"):
        list_pictures(support / "images")


def test_extensions_in_capitals(tmp_path):
    for name in ("a.PNG", "b.Jpeg", "c.TIF", "d.bmp"):
        save(tmp_path / name)
    assert list(list_pictures(tmp_path)) == ["a", "b", "c", "d"]


def test_two_pictures_of_one_name(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "A.jpg")
    with pytest.raises(InputError, match=r"A\.jpg and a\.png have one name"):
        list_pictures(tmp_path)


def test_folders_inside_are_refused(tmp_path):
    save(tmp_path / "images" / "series" / "a.png")
    with pytest.raises(InputError, match=r"holds the folder series; pictures must lie directly in images/"):
        list_pictures(tmp_path / "images")


def test_empty_folder_and_other_formats(tmp_path):
    with pytest.raises(InputError, match="it is empty"):
        list_pictures(tmp_path)
    (tmp_path / "scan.nii.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no PNG, JPEG, BMP or TIFF images; found scan\.nii\.gz"):
        list_pictures(tmp_path)


def test_find_targets(tmp_path):
    image, other = save(tmp_path / "images" / "x.png"), save(tmp_path / "images" / "y.png")
    label = save(tmp_path / "labels" / "x.bmp", MASK)
    assert find_targets(image) == [TargetFile("x", image)]
    assert find_targets(image, tmp_path / "labels") == [TargetFile("x", image, label)]
    assert find_targets(tmp_path / "images") == [TargetFile("x", image), TargetFile("y", other)]
    with pytest.raises(InputError, match=r"labels: holds no mask of the same name for y\.png"):
        find_targets(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(InputError, match="no such file or folder"):
        find_targets(tmp_path / "z")


def test_read_target(support, tmp_path):
    image, label = save(tmp_path / "x.png"), save(tmp_path / "labels" / "x.png", MASK)
    task = read_support(support)
    read, truth = read_target(TargetFile("x", image, label), task)
    np.testing.assert_array_equal(read, GREY)
    np.testing.assert_array_equal(truth, MASK)
    assert read_target(TargetFile("x", image), task)[1] is None
    with pytest.raises(InputError, match="holds the classes 1, but the masks of the support hold only 0, 255"):
        read_target(TargetFile("x", image, save(label, MASK // 255)), task)
    with pytest.raises(InputError, match="is 8x3"):
        read_target(TargetFile("x", image, save(label, MASK[:3])), task)


def test_byte_order_mark_in_class_names(support):
    (support / "classes.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"255": "nucleus"}).encode())
    assert read_support(support).class_names[255] == "nucleus"


def test_pairs_in_one_folder_and_other_names(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / "one" / f"{name}.png")
        save(tmp_path / "one" / f"{name}_mask.png", MASK)
        save(tmp_path / "two" / "img" / f"img{name}0001.png")
        save(tmp_path / "two" / "label" / f"label{name}0001.png", MASK)
    task = read_support(tmp_path / "one")
    assert task.names == ["a", "b"]
    np.testing.assert_array_equal(task.images[1], GREY)
    np.testing.assert_array_equal(task.labels[1], MASK)
    with pytest.raises(InputError, match="images and masks must have the same names"):
        read_support(tmp_path / "two")


def test_targets_and_labels_with_prefixes(tmp_path):
    image = save(tmp_path / "images" / "img0001.png")
    label = save(tmp_path / "labels" / "label0001.png", MASK)
    assert find_targets(tmp_path / "images", tmp_path / "labels") == [TargetFile("img0001", image, label)]


def test_masks_that_mark_by_unlike_values_are_named(support):
    save(support / "masks" / "b.png", MASK // 255)
    with pytest.raises(InputError, match=r"b\.png marks the structure by 1, .*a\.png by 255"):
        read_support(support)


def test_instances_are_refused_with_the_way_out(support):
    save(support / "images" / "b.jpg", np.zeros((72, 80), np.uint8))
    save(support / "masks" / "b.png", np.kron(np.arange(90).reshape(9, 10), np.ones((8, 8))).astype(np.uint8))
    with pytest.raises(InputError, match=r"support: has 91 different values .*label > 0"):
        read_support(support)


def turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GREY).save(path, exif=exif)


def test_exif_that_turns_an_image_but_not_its_mask(support):
    turned(support / "images" / "b.jpg", 6)
    with pytest.raises(InputError, match=r"b\.png: is 8x6 .* is 6x8; the EXIF data of the image turn it"):
        read_support(support)
    turned(support / "images" / "b.jpg", 3)
    with pytest.warns(SegmentationWarning, match="EXIF data turn images, but not their masks"):
        read_support(support)
