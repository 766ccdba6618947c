import jax.numpy as jnp
import numpy as np
import pytest

from universeg_jax.models.protosam.encoder import EncodingCache

IMAGES = np.random.default_rng(0).random((5, 4, 4, 3), np.float32)


@pytest.fixture
def doubled():
    """Doubles images, and tells how many it was asked for."""

    def compute(images):
        compute.asked.append(len(images))
        return {"double": 2 * jnp.asarray(images), "none": None}

    compute.asked = []
    return compute


def test_known_images_are_not_computed_again(doubled):
    remembered = EncodingCache()
    for chosen, asked in (([0, 1, 2], 3), ([2, 0], 0), ([3, 1, 3, 4], 2)):
        doubled.asked.clear()
        found = remembered.of(IMAGES[chosen], compute=doubled)
        np.testing.assert_array_equal(found["double"], 2 * IMAGES[chosen])
        assert found["none"] is None
        assert sum(doubled.asked) == asked


def test_options_that_change_results_are_distinguished(doubled):
    remembered = EncodingCache()
    remembered.of(IMAGES, True, compute=doubled)
    remembered.of(IMAGES, False, compute=doubled)
    remembered.of(IMAGES.astype(np.float16), True, compute=doubled)
    assert doubled.asked == [5, 5, 5]


def test_it_forgets_what_was_asked_for_longest_ago(doubled):
    remembered = EncodingCache(3 * IMAGES[0].nbytes)
    remembered.of(IMAGES[:3], compute=doubled)
    remembered.of(IMAGES[:1], compute=doubled)
    remembered.of(IMAGES[3:4], compute=doubled)  # in place of the second
    remembered.of(IMAGES[[0, 2, 3]], compute=doubled)
    assert doubled.asked == [3, 1]
    np.testing.assert_array_equal(remembered.of(IMAGES, compute=doubled)["double"], 2 * IMAGES)
    assert doubled.asked == [3, 1, 2]


def test_images_can_be_forgotten(doubled):
    remembered = EncodingCache()
    remembered.of(IMAGES, True, compute=doubled)
    remembered.forget(IMAGES[1:3])
    remembered.of(IMAGES, True, compute=doubled)
    assert doubled.asked == [5, 2]
