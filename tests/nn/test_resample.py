import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from universeg_jax import backend
from universeg_jax.nn.resample import max_pool, upsample


def test_max_pool_takes_the_largest_of_each_window():
    images = np.random.default_rng(0).random((2, 6, 4, 3), np.float32)
    pooled = max_pool(images)
    assert pooled.shape == (2, 3, 2, 3)
    np.testing.assert_array_equal(pooled[1, 2, 1], images[1, 4:6, 2:4].max(axis=(0, 1)))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (5, 3), (16, 8), (1, 4), (1, 1)])
def test_upsample_keeps_the_corners_and_interpolates_between(height, width):
    image = np.random.default_rng(0).random((height, width), np.float32)
    grid = np.meshgrid(np.linspace(0, height - 1, 2 * height), np.linspace(0, width - 1, 2 * width), indexing="ij")
    expected = map_coordinates(image, grid, order=1, mode="nearest")
    np.testing.assert_allclose(upsample(image[None, :, :, None])[0, :, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(5, 3), (1, 4)])
def test_upsampling_by_products_is_the_same(height, width):
    images = np.random.default_rng(0).random((2, height, width, 3), np.float32)
    with backend.compile_for("tpu"):
        by_products = upsample(images)
    np.testing.assert_allclose(by_products, upsample(images), atol=1e-6)
