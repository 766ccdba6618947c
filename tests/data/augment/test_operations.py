"""Compare each operation with an independent implementation in scipy or Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage as ndi
from PIL import Image, ImageEnhance

from universeg_jax.data.augment import operations

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def image() -> np.ndarray:
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH))
    smooth = ndi.gaussian_filter(noise, 1.5)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)[..., None]


@pytest.fixture
def grid() -> jax.Array:
    return operations.pixel_grid(HEIGHT, WIDTH)


def close(actual, expected, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(actual)[..., 0], expected, atol=tolerance)


def test_warp_is_linear_interpolation_with_zeros_outside(image):
    coordinates = np.random.default_rng(1).uniform(-5, 40, (2, 10, 11)).astype(np.float32)
    expected = ndi.map_coordinates(image[..., 0], coordinates, order=1, mode="grid-constant")
    close(operations.warp(image, coordinates), expected)


def test_warp_on_the_grid_changes_nothing(image, grid):
    np.testing.assert_array_equal(operations.warp(image, grid), image)


@pytest.mark.parametrize("angle", [30.0, 90.0, 211.0])
def test_rotation(image, grid, angle):
    expected = ndi.rotate(image[..., 0], angle, reshape=False, order=1, mode="grid-constant")
    close(operations.warp(image, operations.affine(grid, rotation=angle)), expected, 1e-4)


def test_translation(image, grid):
    expected = ndi.shift(image[..., 0], (0.2 * HEIGHT, -0.1 * WIDTH), order=1, mode="grid-constant")
    close(operations.warp(image, operations.affine(grid, translation=(0.2, -0.1))), expected, 1e-4)


@pytest.mark.parametrize("scale", [0.8, 1.1])
def test_scale(image, grid, scale):
    centre = (np.array([HEIGHT, WIDTH]) - 1) / 2
    expected = ndi.affine_transform(
        image[..., 0], np.eye(2) / scale, centre - centre / scale, order=1, mode="grid-constant"
    )
    close(operations.warp(image, operations.affine(grid, scale=scale)), expected, 1e-4)


def test_affine_rotates_and_scales_before_it_shifts(image, grid):
    together = operations.affine(grid, rotation=30, scale=0.9, translation=(0.1, 0.2))
    in_turn = operations.affine(operations.affine(grid, translation=(0.1, 0.2)), rotation=30, scale=0.9)
    np.testing.assert_allclose(together, in_turn, atol=1e-4)


@pytest.mark.parametrize(("vertical", "horizontal"), [(True, False), (False, True), (True, True), (False, False)])
def test_flip(image, grid, vertical, horizontal):
    axes = [axis for axis, flipped in enumerate((vertical, horizontal)) if flipped]
    flipped = operations.warp(image, operations.flip(grid, vertical=vertical, horizontal=horizontal))
    np.testing.assert_array_equal(flipped, np.flip(image, axes))


def test_elastic(image, grid):
    noise = np.random.default_rng(2).uniform(-1, 1, (2, HEIGHT, WIDTH)).astype(np.float32)
    coordinates = operations.elastic(grid, noise, alpha=1.5, sigma=3)
    smooth = np.stack([ndi.gaussian_filter(axis, 3, mode="constant", truncate=12) for axis in noise])
    displacement = 1.5 * smooth * np.array([HEIGHT, WIDTH])[:, None, None] / 2
    np.testing.assert_allclose(coordinates - grid, displacement, atol=1e-4)
    assert np.abs(displacement).max() > 0.3
    np.testing.assert_array_equal(operations.elastic(grid, noise, alpha=0, sigma=3), grid)


@pytest.mark.parametrize("sigma", [0.1, 0.6, 1.1])
def test_gaussian_blur(image, sigma):
    close(
        operations.gaussian_blur(image, sigma=sigma), ndi.gaussian_filter(image[..., 0], sigma, mode="mirror", radius=2)
    )


def test_blur_of_zero_changes_nothing(image):
    close(operations.gaussian_blur(image, sigma=0), image[..., 0], 1e-7)


@pytest.mark.parametrize("factor", [0.0, 0.5, 5.0])
def test_sharpness_against_scipy(image, factor):
    plane = image[..., 0].astype(float)
    smooth = ndi.convolve(plane, np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13)
    expected = np.clip(smooth + factor * (plane - smooth), 0, 1)
    expected[[0, -1]], expected[:, [0, -1]] = plane[[0, -1]], plane[:, [0, -1]]
    close(operations.adjust_sharpness(image, factor=factor), expected)


def test_sharpness_against_pillow(image):
    picture = (255 * image[..., 0]).round().astype(np.uint8)
    expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(picture)).enhance(5.0))
    actual = 255 * operations.adjust_sharpness(picture[..., None].astype(np.float32) / 255, factor=5)
    assert np.abs(np.asarray(actual)[..., 0] - expected).max() < 3  # Pillow rounds the smooth copy; 4 × 0.5 remain


def test_sharpness_of_one_changes_nothing(image):
    close(operations.adjust_sharpness(image, factor=1), image[..., 0], 1e-6)


def test_edges(image):
    label = (image > 0.6).astype(np.float32)
    for map_ in (label, image):
        rows, columns = (ndi.sobel(map_[..., 0], axis, mode="nearest") for axis in (0, 1))
        magnitude = np.hypot(rows, columns)
        close(operations.edges(map_), (magnitude - magnitude.min()) / np.ptp(magnitude))


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_label_has_no_edges(value):
    np.testing.assert_array_equal(operations.edges(jnp.full((HEIGHT, WIDTH, 1), value)), 0)


def test_brightness_and_contrast(image):
    actual = operations.adjust_brightness_contrast(image, brightness=-0.1, contrast=1.5)
    close(actual, np.clip(1.5 * image[..., 0] - 0.1, 0, 1))
    assert (np.asarray(actual) == 0).any()
    assert (np.asarray(actual) == 1).any()


def test_noise_has_the_given_mean_and_deviation():
    grey = jnp.full((128, 128, 1), 0.5)
    added = operations.add_gaussian_noise(jax.random.key(0), grey, mean=0.05, std=0.04) - grey
    assert abs(added.mean() - 0.05) < 2e-3
    assert abs(added.std() - 0.04) < 2e-3
    np.testing.assert_array_equal(operations.add_gaussian_noise(jax.random.key(0), grey, mean=0, std=0), grey)
    assert operations.add_gaussian_noise(jax.random.key(0), grey, mean=0.5, std=0.04).max() == 1
