"""Rules for mask values, on masks as editors, resizing and lossy compression leave them."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.mask_values import check_class_count, check_colours, check_same_marks, class_values


def disks(size=96, value=255):
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((size // 8, size // 6, size // 2, size // 2), fill=value)
    draw.rectangle((size // 2, size // 2 + 4, size - 9, size - 5), fill=value)
    return picture


def silent(values):
    """Class values of a mask that must be read without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return class_values(np.asarray(values), "m.png")


@pytest.mark.parametrize("method", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
@pytest.mark.parametrize("size", [57, 150, 400])
def test_smoothly_resized_masks_are_cut_in_the_middle(method, size):
    blurred = np.asarray(disks().resize((size, size), method))
    assert len(np.unique(blurred)) > 5
    with pytest.warns(SegmentationWarning, match="blurred borders, cut at 128 into 0 and 255"):
        cut = class_values(blurred, "m.png")
    np.testing.assert_array_equal(cut, np.where(blurred >= 128, 255, 0))
    nearest = np.asarray(disks().resize((size, size), Image.Resampling.NEAREST))
    assert (cut != nearest).mean() < 0.03


@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_masks_that_were_jpeg_once_are_cut(quality):
    stream = io.BytesIO()
    disks().save(stream, format="JPEG", quality=quality)
    noisy = np.asarray(Image.open(stream))
    assert len(np.unique(noisy)) > 2
    with pytest.warns(SegmentationWarning, match="blurred"):
        np.testing.assert_array_equal(class_values(noisy, "m.png"), np.asarray(disks()))


@pytest.mark.parametrize("values", [(0, 1, 254, 255), (0, 254, 255), (0, 3, 251, 255)])
def test_values_next_to_black_and_white_are_black_and_white(values):
    mask = np.resize(np.array(values, np.uint8), (16, 16))
    with pytest.warns(SegmentationWarning, match="blurred"):
        assert set(np.unique(class_values(mask, "m.png"))) == {0, 255}


def test_16_bit_masks_are_cut_too():
    blurred = np.asarray(disks().resize((57, 57), Image.Resampling.BILINEAR)).astype(np.int32) * 257
    with pytest.warns(SegmentationWarning, match="into 0 and 65535"):
        assert set(np.unique(class_values(blurred, "m.png"))) == {0, 65535}


def ring_and_core():
    mask = np.asarray(disks(value=128)).copy()
    mask[30:40, 25:35] = 255
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        np.asarray(disks()),
        np.asarray(disks(value=1)),
        ring_and_core(),
        np.repeat(np.arange(0, 256, 36, dtype=np.uint8), 6)[:, None] + np.zeros((1, 50), np.uint8),  # layers
        np.where(np.asarray(disks()) > 0, 255, np.asarray(disks(60, 1).resize((96, 96), Image.Resampling.NEAREST))),
        np.kron(np.arange(1, 91).reshape(9, 10), np.ones((7, 7), int)),  # instances
        np.zeros((5, 5), np.uint8),
    ],
    ids=["0 and 255", "0 and 1", "0, 128 and 255", "layers", "class 1 and void 255", "90 instances", "empty"],
)
def test_classes_stay_as_they_are(mask):
    np.testing.assert_array_equal(silent(mask), mask)


def test_shades_that_cannot_be_cut_are_refused():
    ramp = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (40, 1))
    with pytest.raises(InputError, match=r"m\.png: holds \d+ values between 0 and 255 .* look like shades"):
        class_values(ramp, "m.png")


def test_few_shades_on_borders_are_noted():
    mask = np.zeros((12, 12), np.uint8)
    mask[4:9, 4:9], mask[3, 4:9:2] = 255, 128
    with pytest.warns(SegmentationWarning, match="the values 128 occur on borders only"):
        np.testing.assert_array_equal(class_values(mask, "m.png"), mask)


def test_blended_colours_are_refused():
    sharp = np.stack([np.asarray(disks()), np.asarray(disks()) // 2, np.zeros((96, 96), np.uint8)], axis=-1)
    check_colours(sharp, "m.png")
    blended = np.asarray(Image.fromarray(sharp).resize((57, 57), Image.Resampling.BICUBIC))
    with pytest.raises(InputError, match=r"m\.png: its colours blend along borders"):
        check_colours(blended, "m.png")


def test_more_values_than_classes_are_refused_with_the_way_out():
    check_class_count(range(64), "m.png")
    with pytest.raises(InputError, match=r"m\.png: has 90 different values .*label > 0, or pass --one-class"):
        check_class_count(range(90), "m.png")


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([0, 1], [0, 255], "a marks the structure by 1, b by 255"),
        ([0, 1, 2], [0, 255], "a marks the structure by 1, 2, b by 255"),
        ([0, 254], [0, 255], "a marks the structure by 254, b by 255"),
        ([0, 1], [0, 65535], "a marks the structure by 1, b by 65535"),
        ([0, 65535], [0, 255], "a marks the structure by 65535, b by 255"),
    ],
)
def test_masks_of_unlike_coding_are_refused(one, other, message):
    with pytest.raises(InputError, match=message):
        check_same_marks({"a": one, "b": other, "empty": [0]})


@pytest.mark.parametrize(
    "found",
    [
        {"a": [0, 255], "b": [0, 255], "c": [0]},
        {"a": [0, 1], "b": [0, 2], "c": [0, 1, 2]},
        {"a": [0, 128], "b": [0, 255]},
        {"a": [0, 1], "b": [0, 255], "c": [0, 1, 255]},  # 255 is a class of its own, such as void
        {"a": [0, 255], "b": [0, 0xFF0000]},  # colours
    ],
)
def test_masks_of_like_coding_pass(found):
    check_same_marks(found)


@pytest.mark.parametrize("factors", [(1.7, 1.7, 1.7), (2.4, 2.4, 1), (1, 1, 2.6)])
def test_smoothly_resampled_volumes_are_cut_in_the_middle(factors):
    place = np.indices((24, 26, 18)) - np.array([11.0, 13.0, 9.0])[:, None, None, None]
    ball = np.where(np.sqrt((place**2).sum(0)) <= 7, 255.0, 0.0)
    blurred = np.rint(ndimage.zoom(ball, factors, order=1)).astype(np.uint8)
    with pytest.warns(SegmentationWarning, match="blurred borders"):
        np.testing.assert_array_equal(class_values(blurred, "m.nii"), np.where(blurred >= 128, 255, 0))


def test_classes_of_volumes_stay_as_they_are():
    layers = np.broadcast_to(np.repeat(np.arange(0, 256, 51, dtype=np.uint8), 5)[:, None, None], (30, 20, 20))
    np.testing.assert_array_equal(silent(layers), layers)
    nested = np.zeros((30, 30, 30), np.uint8)
    nested[4:26, 4:26, 4:26], nested[8:22, 8:22, 8:22], nested[12:18, 12:18, 12:18] = 85, 170, 255
    np.testing.assert_array_equal(silent(nested), nested)
