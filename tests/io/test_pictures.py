import io
import struct
import tracemalloc
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from universeg_jax.errors import InputError
from universeg_jax.io import pictures
from universeg_jax.io.masks import read_mask
from universeg_jax.io.pictures import read_image

QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def pixels(seed: int, shape: tuple[int, ...], dtype: type, high: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures") / "picture"


@QUICK
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kind=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F"]),
    file_format=st.sampled_from(["PNG", "TIFF", "BMP"]),
)
def test_what_pillow_wrote_is_read_back(place, seed, height, width, kind, file_format):
    shape = (height, width)
    if file_format == "PNG" and kind in ("F", "I"):
        file_format = "TIFF"
    if file_format == "BMP" and kind in ("LA", "RGBA", "I;16", "I", "F"):
        file_format = "PNG" if kind in ("LA", "RGBA", "I;16") else "TIFF"
    if kind == "1":
        expected = pixels(seed, shape, np.uint8, 2) * np.uint8(255)
        picture = Image.fromarray(expected).convert("1")
    elif kind == "P":
        index, palette = pixels(seed, shape, np.uint8, 200), pixels(seed + 1, (256, 3), np.uint8, 256)
        expected, picture = palette[index], Image.fromarray(index)
        picture.putpalette(palette.tobytes())
    elif kind in ("L", "LA", "RGB", "RGBA"):
        array = pixels(seed, (*shape, len(kind)), np.uint8, 256)
        expected = {1: array[..., 0], 2: array[..., 0], 3: array, 4: array[..., :3]}[len(kind)]
        picture = Image.fromarray(array[..., 0] if kind == "L" else array)
    elif kind == "I;16":
        expected = pixels(seed, shape, np.uint16, 65536)
        picture = Image.fromarray(expected)
    else:
        array = pixels(seed, shape, np.int32 if kind == "I" else np.float32, 100_000)
        expected = array.astype(np.float64 if kind == "I" else np.float32)
        picture = Image.fromarray(array)
    picture.save(place, format=file_format)
    read = read_image(place)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (5, 4), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.broadcast_to([255, 0, 0], (4, 5, 3)))


def test_big_endian_16_bit(tmp_path):
    array = pixels(0, (4, 5), np.uint16, 65536)
    Image.frombytes("I;16B", (5, 4), array.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    read = read_image(tmp_path / "a.tif")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, array)


def test_exif_orientation_is_applied(tmp_path):
    array = pixels(0, (4, 6), np.uint8, 256)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(array, -1))


def encoded(file_format: str) -> bytes:
    stream = io.BytesIO()
    mode = Image.fromarray(pixels(1, (24, 31, 3), np.uint8, 256))
    mode.save(stream, format=file_format, **({"compression": "tiff_lzw"} if file_format == "TIFF" else {}))
    return stream.getvalue()


def tiff(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


GREY = pixels(2, (24, 31), np.uint8, 256)
DAMAGEABLE = {name: encoded(name) for name in ("PNG", "TIFF", "JPEG", "BMP")} | {
    "half floats": tiff(GREY.astype(np.float16), compression="zlib"),
    "white is 0": tiff(GREY, photometric="miniswhite", bigtiff=True),
    "bits": tiff(GREY > 99),
    "planes": tiff(np.stack([GREY] * 3), photometric="rgb", planarconfig="separate"),
    "tiles": tiff(GREY.astype(np.uint32), tile=(16, 16), compression="zlib", predictor=True, byteorder=">"),
}


@settings(QUICK, max_examples=400)
@given(
    file_format=st.sampled_from(sorted(DAMAGEABLE)),
    cut=st.none() | st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6),
    near_start=st.booleans(),
)
def test_damaged_files_are_read_or_refused(place, file_format, cut, flips, near_start):
    content = bytearray(DAMAGEABLE[file_format])
    if cut is not None:
        content = content[: int(cut * len(content))]
    reach = min(len(content), 120) if near_start else len(content)
    for where, mask in flips if content else ():
        content[min(int(where * reach), len(content) - 1)] ^= mask
    place.write_bytes(content)
    with suppress(InputError):
        assert read_image(place).ndim in (2, 3)
    with suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_mask(place).values.ndim == 2


def test_rgb_with_one_channel_is_refused(place):
    content = bytearray(DAMAGEABLE["planes"])
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        offset = file.pages[0].tags["SamplesPerPixel"].valueoffset
    content[offset : offset + 2] = (1).to_bytes(2, "little")
    place.write_bytes(content)
    for read in (read_image, read_mask):
        with pytest.raises(InputError, match="is RGB by its header, but has 1 channels"):
            read(place)


@pytest.mark.parametrize("kind", ["PNG", "half floats", "white is 0"])
def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(place, kind):
    content = bytearray(DAMAGEABLE[kind])
    if kind == "PNG":
        content = png(7900, 8000)
    else:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            tags = {name: file.pages[0].tags[name].valueoffset for name in ("ImageLength", "ImageWidth")}
        for offset in tags.values():
            content[offset : offset + 2] = (7900).to_bytes(2, "little")
    place.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"its header promises .* more than the file can hold"):
        read_image(place)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def png(width: int, height: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8001, 8000), (60_000, 60_000)], ids=["ours", "Pillow's"])
def test_decompression_bomb(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png(*size))
    with pytest.raises(InputError, match=r"bomb\.png: has .* 64,000,000"):
        read_image(tmp_path / "bomb.png")


def test_largest_size_is_about_pixels_and_not_sides(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    Image.new("L", (100, 1)).save(tmp_path / "long.png")
    assert read_image(tmp_path / "long.png").shape == (1, 100)


def test_16_bit_colour_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1, 1, depth=16, colour=2, data=bytes(7)))
    with pytest.raises(InputError, match="16 bits per colour channel"):
        read_image(tmp_path / "a.png")


def test_pages_are_refused(tmp_path):
    page = Image.new("L", (4, 4))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    with pytest.raises(InputError, match=r"a\.tif: has 3 pages"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(tmp_path, bad):
    array = np.zeros((3, 4), np.float32)
    array[1, 2] = bad
    Image.fromarray(array).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"1 of 12 values .* row 1, column 2"):
        read_image(tmp_path / "a.tif")


def test_other_formats_are_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png", format="GIF")
    with pytest.raises(InputError, match="not a PNG, JPEG, BMP or TIFF"):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "b.png")
