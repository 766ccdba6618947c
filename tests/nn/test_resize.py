"""Resizing as PyTorch does it."""

import numpy as np
import pytest

from tests.helpers.protosam_networks import GOLDEN, images
from universeg_jax.nn.resample import resize_cubic, resize_linear, resize_nearest


@pytest.mark.parametrize("size", [(9, 11), (4, 3)])
def test_every_way_is_pytorchs(size):
    x, name = images(4, 2, 7, 5, 3), "{}_{}x{}"
    scale = ((size[0] + 0.1) / 7, (size[1] + 0.1) / 5)
    with np.load(GOLDEN / "resampling.npz") as original:
        np.testing.assert_allclose(resize_cubic(x, size, scale=scale), original[name.format("cubic", *size)], atol=1e-5)
        np.testing.assert_allclose(resize_linear(x, size), original[name.format("linear", *size)], atol=1e-5)
        np.testing.assert_array_equal(resize_nearest(x, size), original[name.format("nearest", *size)])


def test_an_image_of_the_same_size_stays_as_it_is():
    x = images(4, 1, 6, 5, 2)
    np.testing.assert_allclose(resize_cubic(x, (6, 5), scale=(1.0, 1.0)), x, atol=1e-6)
    np.testing.assert_array_equal(resize_nearest(x, (6, 5)), x)
