"""Input that a DINOv2 takes and refuses, beyond the golden files."""

import pytest

from tests.helpers.protosam_networks import PLAIN, dinov2, images
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.weights.mapping import blueprint, get_parameters


def test_presets_have_the_released_sizes():
    # Without the mask token, which the published numbers count.
    for config, expected in ((DINOv2Config.vits14(), 22_056_576 - 384), (DINOv2Config.vitb14(), 86_580_480 - 768)):
        assert sum(value.size for value in get_parameters(blueprint(DINOv2, config)).values()) == expected
    assert DINOv2Config.vitg14().hidden == 4096


@pytest.mark.parametrize("shape", [(1, 10, 14, 3), (1, 28, 30, 3)])
def test_images_that_are_no_whole_patches_are_refused(shape):
    with pytest.raises(ValueError, match=f"{shape[1]}x{shape[2]}; height and width must be multiples of 14"):
        dinov2(PLAIN)(images(0, *shape))


def test_layers_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="2 blocks"):
        dinov2(PLAIN)(images(0, 1, 14, 14, 3), layers=(2,))


def test_heads_that_do_not_divide_the_features_are_refused():
    with pytest.raises(ValueError, match="heads=7"):
        DINOv2Config(features=32, heads=7)
