import numpy as np
import pytest
from PIL import Image

from universeg_jax.errors import InputError
from universeg_jax.segment.preprocess import checked_window, to_unit_range, with_channels

RNG = np.random.default_rng(0)


def test_grey_of_colour_is_pillows_luminance_and_alpha_is_dropped():
    colour = RNG.integers(0, 256, (9, 7, 4), np.uint8)
    expected = np.asarray(Image.fromarray(colour[..., :3]).convert("L"), float)
    np.testing.assert_allclose(with_channels(colour, 1)[..., 0], expected, atol=0.51)
    np.testing.assert_array_equal(with_channels(colour[..., :2], 1), colour[..., :1])
    np.testing.assert_array_equal(with_channels(colour, 3), colour[..., :3])
    np.testing.assert_array_equal(with_channels(colour[..., :1], 3), np.repeat(colour[..., :1], 3, axis=-1))


def test_each_image_spans_the_unit_range():
    unit = to_unit_range(RNG.normal(7, 300, (20, 30, 3)), "a", window=None)
    assert (unit.min(), unit.max(), unit.dtype) == (0, 1, np.float32)


def test_scale_and_offset_do_not_matter():
    image = RNG.integers(0, 256, (20, 30, 1)).astype(np.uint8)
    expected = to_unit_range(image.astype(float), "a", window=None)
    for same in (image / 255, image.astype(np.float64) * 257, 5 - image / -3):
        np.testing.assert_allclose(to_unit_range(same, "a", window=None), expected, atol=1e-6)


def test_constant_image_becomes_zeros():
    assert not to_unit_range(np.full((4, 4, 1), 9.0), "a", window=None).any()


def test_window_clips():
    image = np.array([-1000.0, -100, 50, 200, 3000])[:, None, None]
    np.testing.assert_allclose(to_unit_range(image, "a", window=(-100, 200)).ravel(), [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_unusable_windows_are_refused(window):
    with pytest.raises(InputError, match="window="):
        checked_window(window)


def test_overflowing_range_is_refused():
    with pytest.raises(InputError, match=r"^scan.png has intensities from -1.7e\+308 to 1.7e\+308"):
        to_unit_range(np.array([[[-1.7e308], [1.7e308]]]), "scan.png", window=None)
