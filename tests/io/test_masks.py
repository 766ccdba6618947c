import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.masks import (
    ColourCoding,
    GreyCoding,
    PaletteCoding,
    common_coding,
    read_mask,
    read_stored_mask,
    values_in,
    write_mask,
)

RED, BLACK = (255, 0, 0), (0, 0, 0)


def save(path, array, **options):
    picture = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array))
    picture.save(path, **options)
    return path


def palette_picture(indices, colours):
    picture = Image.fromarray(np.asarray(indices, np.uint8))
    picture.putpalette([channel for colour in colours for channel in colour])
    return picture


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    coding=st.sampled_from(
        [GreyCoding(), GreyCoding(wide=True), ColourCoding(), PaletteCoding(tuple((i, 255 - i, 7) for i in range(256)))]
    ),
)
def test_written_masks_are_read_back(tmp_path_factory, seed, size, coding):
    highest = {GreyCoding: 65536 if coding == GreyCoding(wide=True) else 256, ColourCoding: 1 << 24, PaletteCoding: 256}
    values = np.random.default_rng(seed).integers(0, highest[type(coding)], size)
    path = tmp_path_factory.getbasetemp() / "mask.png"
    write_mask(path, values, coding)
    np.testing.assert_array_equal(values_in(read_stored_mask(path), coding), values)


def test_one_bit_masks_are_0_and_255(tmp_path):
    path = save(tmp_path / "a.bmp", Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"))
    assert read_mask(path).values.tolist() == [[0, 255]]


def test_palette_is_kept(tmp_path):
    mask = read_mask(save(tmp_path / "a.png", palette_picture([[0, 2, 1]], [BLACK, RED, (0, 255, 0)])))
    assert mask.values.tolist() == [[0, 2, 1]]
    write_mask(tmp_path / "b.png", mask.values, mask.coding)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.mode == "P"
        assert np.asarray(picture.convert("RGB")).tolist() == [[[0, 0, 0], [0, 255, 0], [255, 0, 0]]]


def test_grey_saved_as_rgb_is_grey(tmp_path):
    mask = read_mask(save(tmp_path / "a.png", np.full((2, 2, 3), 9, np.uint8)))
    assert mask.coding == GreyCoding()
    assert (mask.values == 9).all()


def test_transparent_is_0_and_half_transparent_refused(tmp_path):
    rgba = np.full((1, 2, 4), 255, np.uint8)
    rgba[0, 0, 3] = 0
    assert read_mask(save(tmp_path / "a.png", rgba)).values.tolist() == [[0, 255]]
    rgba[0, 0, 3] = 100
    with pytest.raises(InputError, match=r"a\.png: mask is partly transparent"):
        read_mask(save(tmp_path / "a.png", rgba))


def test_empty_grey_mask_among_colours(tmp_path):
    colour = read_mask(save(tmp_path / "a.png", np.array([[RED, BLACK]], np.uint8)))
    empty = read_mask(save(tmp_path / "b.png", np.zeros((1, 2), np.uint8)))
    coding = common_coding([colour, empty])
    assert coding == ColourCoding()
    assert coding.name(0xFF0000) == "#ff0000"
    assert [values_in(mask, coding).tolist() for mask in (colour, empty)] == [[[0xFF0000, 0]], [[0, 0]]]


def test_codings_that_do_not_mix(tmp_path):
    grey = read_mask(save(tmp_path / "grey.png", np.array([[0, 1]], np.uint8)))
    wide = read_mask(save(tmp_path / "wide.png", np.array([[0, 999]], np.uint16)))
    colour = read_mask(save(tmp_path / "colour.png", np.array([[RED, BLACK]], np.uint8)))
    red = read_mask(save(tmp_path / "red.png", palette_picture([[0, 1]], [BLACK, RED])))
    blue = read_mask(save(tmp_path / "blue.png", palette_picture([[0, 1]], [BLACK, (0, 0, 255)])))
    with pytest.raises(InputError, match=r"grey\.png: its classes are grey values, and other masks have palette"):
        values_in(grey, common_coding([grey, red]))
    with pytest.raises(InputError, match=r"wide\.png: its classes are grey"):
        values_in(wide, common_coding([wide, colour]))
    with pytest.raises(InputError, match=r"blue\.png: its palette gives index 1 the colour \(0, 0, 255\)"):
        common_coding([red, blue])
    with pytest.raises(InputError, match=r"blue\.png: its palette"):
        values_in(blue, red.coding)


def test_black_and_white_jpeg_is_cut_with_a_warning(tmp_path):
    picture = Image.new("L", (100, 100))
    ImageDraw.Draw(picture).ellipse((20, 30, 70, 80), fill=255)
    with pytest.warns(SegmentationWarning, match="JPEG masks, cut at 128"):
        mask = read_mask(save(tmp_path / "a.jpg", picture))
    np.testing.assert_array_equal(mask.values, np.asarray(picture))


@pytest.mark.parametrize("levels", [(0, 1), (0, 128, 255), (0, 100)])
def test_other_jpeg_masks_are_refused(tmp_path, levels):
    array = np.kron(np.resize(np.array(levels, np.uint8), (4, 1)), np.ones((8, 32), np.uint8))
    for path, options in (("a.jpg", {}), ("a.tif", {"compression": "jpeg"})):
        with pytest.raises(InputError, match="JPEG changes pixel values"):
            read_mask(save(tmp_path / path, array, **options))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 0.5]], np.float32), "whole numbers; it holds 0.5"),
        (np.array([[0, np.nan]], np.float32), "NaN"),
        (np.array([[0, 70000]], np.int32), "between 0 and 65535; they run from 0 to 70000"),
        (np.array([[0, -1]], np.int32), "run from -1 to 0"),
    ],
)
def test_values_that_are_no_classes(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        read_mask(save(tmp_path / "a.tif", values))


def test_whole_floats_are_classes(tmp_path):
    mask = read_mask(save(tmp_path / "a.tif", np.array([[0, 300]], np.float32)))
    assert mask.coding == GreyCoding(wide=True)
    assert mask.values.tolist() == [[0, 300]]


def test_cmyk_mask_is_refused(tmp_path):
    with pytest.raises(InputError, match="colour mode CMYK"):
        read_mask(save(tmp_path / "a.tif", Image.new("CMYK", (2, 2))))
