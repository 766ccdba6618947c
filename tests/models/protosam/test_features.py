import jax.numpy as jnp
import numpy as np
import pytest

from universeg_jax.models.protosam.encoder import DINOv2Features


class Patches:
    """A stand-in for a DINOv2 whose patch tokens are the means of their pixels; keeps what it was given."""

    class config:
        patch = 14

    def __call__(self, images):
        self.given = np.asarray(images)
        batch, height, width, _ = images.shape
        means = images.reshape(batch, height // 14, 14, width // 14, 14, 3).mean(axis=(2, 4))
        return type("Tokens", (), {"patches": means})


def test_images_are_resized_to_whole_patches_and_standardised():
    images = np.random.default_rng(0).random((2, 60, 60, 3), np.float32)
    network = Patches()
    features = DINOv2Features(network, size=460)(images)
    assert network.given.shape == (2, 448, 448, 3)
    assert features.shape == (2, 32, 32, 3)
    colours = np.full((1, 9, 9, 3), (0.485, 0.456, 0.406), np.float32)
    np.testing.assert_allclose(DINOv2Features(network, size=28)(colours), 0, atol=1e-5)
    DINOv2Features(network, size=28, standardise=True)(images * 7 + 3)
    np.testing.assert_allclose(network.given.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(network.given.std(axis=(1, 2, 3)), 1, atol=1e-3)


def test_small_maps_are_enlarged():
    images = jnp.ones((1, 28, 28, 3))
    assert DINOv2Features(Patches(), size=30)(images).shape == (1, 32, 32, 3)


def test_less_than_a_patch_is_refused():
    with pytest.raises(ValueError, match="size=13: pass a whole number at least 14"):
        DINOv2Features(Patches(), size=13)


def test_a_bright_image_is_standardised_in_bfloat16_too():
    image, network = 0.9 + 0.05 * np.random.default_rng(0).standard_normal((1, 28, 28, 3)), Patches()
    DINOv2Features(network, size=28, standardise=True)(jnp.asarray(image, jnp.bfloat16))
    given = network.given.astype(np.float32)
    np.testing.assert_allclose([given.mean(), given.std()], [0, 1], atol=0.01)
