import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from universeg_jax.segment.preprocess import SquareFrame

sides = st.integers(1, 300)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / max(height, width)
    return (0.5 + 0.4 * np.sin(3 * y + 2 * x))[..., None].astype(np.float32)


def test_an_image_of_the_models_size_passes_unchanged():
    image = np.random.default_rng(0).random((128, 128, 3), np.float32)
    frame = SquareFrame(128, 128, 128)
    np.testing.assert_array_equal(frame.into(image), image)
    np.testing.assert_array_equal(frame.back(image), image)


@pytest.mark.parametrize("side", [7, 33, 127, 200, 500])
def test_resizing_is_pillows_antialiased_bilinear(side):
    image = np.random.default_rng(side).random((side, side), np.float32)
    expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(SquareFrame(side, side, 64).into(image[..., None])[..., 0], expected, atol=1e-6)


def test_padding_is_zero_and_centred():
    square = SquareFrame(2, 4, 4).into(np.ones((2, 4, 1), np.float32))[..., 0]
    np.testing.assert_array_equal(square, [[0] * 4, [1] * 4, [1] * 4, [0] * 4])
    assert SquareFrame(4, 1, 4).into(np.ones((4, 1, 1), np.float32))[0, :, 0].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(("height", "width"), [(3, 8), (8, 3), (7, 20), (1, 5)])
def test_padding_with_edges_is_that_of_numpy(height, width):
    image = np.random.default_rng(0).random((height, width, 2), np.float32)
    side = max(height, width)
    widths = [((side - n) // 2, side - n - (side - n) // 2) for n in (height, width)]
    padded = np.pad(image, [*widths, (0, 0)], mode="edge")
    found = SquareFrame(height, width, 4, "edge").into(image)
    np.testing.assert_allclose(found, SquareFrame(side, side, 4).into(padded), atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(height=sides, width=sides, size=st.sampled_from([16, 32, 128]))
def test_back_restores_the_size_and_stays_in_range(height, width, size):
    frame = SquareFrame(height, width, size)
    there = frame.into(smooth(height, width))
    assert there.shape == (size, size, 1)
    back = frame.back(there)
    assert back.shape == (height, width, 1)
    assert back.dtype == np.float32
    assert there.min() <= back.min()
    assert back.max() <= there.max()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(height=st.integers(60, 300), width=st.integers(60, 300))
def test_a_smooth_image_survives_the_round_trip(height, width):
    frame, image = SquareFrame(height, width, 128), smooth(height, width)
    inside = (slice(8, -8), slice(8, -8))  # the border blends with the padding
    np.testing.assert_allclose(frame.back(frame.into(image))[inside], image[inside], atol=0.01)


def test_a_long_thin_image_needs_no_square_of_its_length():
    frame = SquareFrame(1, 100_000, 128)  # the square would have 10 billion pixels
    assert frame.back(frame.into(np.ones((1, 100_000, 1), np.float32))).shape == (1, 100_000, 1)


@pytest.mark.parametrize(
    ("height", "width", "region"),
    [(8, 8, (0, 0, 8, 8)), (4, 8, (2, 0, 6, 8)), (16, 4, (0, 3, 8, 5)), (1, 1000, (3, 0, 4, 8)), (3, 8, (2, 0, 5, 8))],
)
def test_the_region_is_where_the_image_lies(height, width, region):
    frame = SquareFrame(height, width, 8)
    assert frame.region == region
    inside = np.zeros((8, 8), bool)
    inside[region[0] : region[2], region[1] : region[3]] = True
    assert inside[frame.into(np.ones((height, width, 1)))[..., 0] > 0.5].all()
