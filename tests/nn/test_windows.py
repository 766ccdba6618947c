"""Cutting into windows and putting together."""

import numpy as np
import pytest

from universeg_jax.nn.attention import from_windows, windows


@pytest.mark.parametrize(("height", "width", "size"), [(6, 4, 2), (5, 7, 3), (2, 3, 4)])
def test_what_was_cut_is_whole_again(height, width, size):
    x = np.random.default_rng(0).random((2, height, width, 3), np.float32)
    parts = windows(x, size)
    assert parts.shape == (2 * -(-height // size) * -(-width // size), size * size, 3)
    np.testing.assert_array_equal(from_windows(parts, size, height=height, width=width), x)


def test_windows_are_in_raster_order_and_filled_below_and_on_the_right():
    x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    expected = [[0, 1, 3, 4], [2, -1, 5, -1], [6, 7, -1, -1], [8, -1, -1, -1]]
    np.testing.assert_array_equal(windows(x, 2, fill=-1.0)[..., 0], expected)
