"""TIFF as tifffile and other programs write it: stored values are classes, and images come out upright and positive."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.masks import read_mask
from universeg_jax.io.pictures import read_image

LABELS = np.array([[0, 0, 1, 1], [2, 2, 1, 1], [2, 2, 0, 0]])


def write(path, array, **options):
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_the_stored_value_of_a_mask_is_its_class(tmp_path, photometric, dtype):
    file = write(tmp_path / "m.tif", LABELS.astype(dtype), photometric=photometric)
    np.testing.assert_array_equal(read_mask(file).values, LABELS)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_boolean_masks_are_0_and_255(tmp_path, photometric):
    file = write(tmp_path / "m.tif", LABELS > 0, photometric=photometric)
    np.testing.assert_array_equal(read_mask(file).values, 255 * (LABELS > 0))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_compressed_masks_hold_the_same_classes(tmp_path, compression, white_is_zero):
    pictures = [Image.fromarray(LABELS.astype(np.uint8)), Image.fromarray(LABELS > 0)]
    for picture, expected in zip(pictures, (LABELS, 255 * (LABELS > 0)), strict=True):
        picture.save(tmp_path / "m.tif", compression=compression, tiffinfo={262: 0} if white_is_zero else {})
        with tifffile.TiffFile(tmp_path / "m.tif") as file:
            written = file.pages[0].photometric
        assert written == (0 if white_is_zero else 1)
        stored = expected
        if white_is_zero:  # Pillow has stored the complement
            stored = 255 - expected
        np.testing.assert_array_equal(read_mask_stored(tmp_path / "m.tif"), stored)


def read_mask_stored(path):
    from universeg_jax.io.masks import read_stored_mask

    return read_stored_mask(path).values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_images_of_which_0_is_white_are_inverted(tmp_path, dtype):
    array = (LABELS * 7).astype(dtype)
    file = write(tmp_path / "i.tif", array, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(file), np.iinfo(dtype).max - array)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**31 - 1, 2**31, 2**32 - 1], np.uint32),
        ([-128, -1, 127], np.int8),
        ([-32768, -1, 32767], np.int16),
        ([-(2**31), 0, 2**31 - 1], np.int32),
        ([0.5, -2, 1000], np.float16),
        ([0.1, -1e30, 1e30], np.float64),
        ([0.1, -1e30, 1e30], np.float32),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_numbers_of_any_kind_keep_their_values(tmp_path, values, dtype):
    array = np.array([values, values[::-1]], dtype)
    for options in ({}, {"compression": "zlib"}, {"bigtiff": True}, {"byteorder": ">"}):
        np.testing.assert_array_equal(read_image(write(tmp_path / "i.tif", array, **options)), array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_separate_colour_planes_are_colour(tmp_path, dtype):
    array = np.arange(24, dtype=dtype).reshape(3, 2, 4)
    file = write(tmp_path / "i.tif", array, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(file), np.moveaxis(array, 0, -1))


def test_a_second_channel_is_alpha_only_if_the_file_says_so(tmp_path):
    array = np.stack([LABELS, np.full_like(LABELS, 255)], axis=-1).astype(np.uint8)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    alpha = write(tmp_path / "alpha.tif", array, extrasamples=["unassalpha"], **options)
    np.testing.assert_array_equal(read_image(alpha), LABELS)
    np.testing.assert_array_equal(read_mask(alpha).values, LABELS)
    other = write(tmp_path / "two.tif", array, extrasamples=["unspecified"], **options)
    with pytest.raises(InputError, match=r"two\.tif: has 2 channels of unknown meaning"):
        read_image(other)


def test_a_fourth_channel_without_meaning_is_noted(tmp_path):
    array = np.arange(4 * 12, dtype=np.uint8).reshape(3, 4, 4)
    file = write(tmp_path / "i.tif", array, photometric="rgb", extrasamples=["unspecified"])
    with pytest.warns(SegmentationWarning, match="has 4 channels; the first three are read as colour"):
        np.testing.assert_array_equal(read_image(file), array[..., :3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_applies_it(tmp_path, orientation):
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write(tmp_path / "i.tif", array, extratags=[(274, 3, 1, orientation, True)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / "i.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), read_image(tmp_path / "i.png"))


def test_stacks_are_refused_as_pictures(tmp_path):
    file = write(tmp_path / "i.tif", np.zeros((3, 8, 8), np.uint8), imagej=True)
    with pytest.raises(InputError, match=r"i\.tif: has 3 pages"):
        read_image(file)


def test_strips_that_inflate_beyond_their_header_are_refused(tmp_path):
    file = write(tmp_path / "i.tif", np.zeros((2048, 2048), np.uint8), compression="zlib", rowsperstrip=2048)
    with tifffile.TiffFile(file) as tiff:
        tags = {name: tiff.pages[0].tags[name].valueoffset for name in ("ImageLength", "RowsPerStrip")}
    content = bytearray(file.read_bytes())
    for offset in tags.values():
        content[offset : offset + 2] = (4).to_bytes(2, "little")
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"i\.tif: a strip inflates to more than 8192 bytes"):
        read_image(file)


def test_samples_that_cannot_be_decoded_are_named(tmp_path):
    file = write(tmp_path / "i.tif", np.zeros((4, 4), np.float16))
    content = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tiff:
        offset = tiff.pages[0].tags["Compression"].valueoffset
    content[offset : offset + 2] = (5).to_bytes(2, "little")  # LZW
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"i\.tif: float16 samples with the compression LZW cannot be read"):
        read_image(file)
