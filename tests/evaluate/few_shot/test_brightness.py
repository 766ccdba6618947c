from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.stacks import Intensity, stack
from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.brightness import MatchedBrightness, brighter
from universeg_jax.models.protosam.encoder import Encoded
from universeg_jax.models.protosam.pipeline import ProtoSAM

SUPPORT, QUERY = stack("a", seed=1).organ("ball"), stack("b", seed=2).organ("ball")


class Levels:
    """An encoder whose features are alike where brightness is alike."""

    extractor = None

    def __init__(self, sam):
        self.sam = sam

    def __call__(self, images, *, embedding):
        level = np.asarray(images)[..., 0]
        angle = 3 * np.stack([level, 1 - level], axis=-1)
        return Encoded(np.concatenate([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32), None)


def model():
    protosam = ProtoSAM(PaintingSAM())
    protosam.encoder = Levels(protosam.sam)
    return protosam


def darker(factor: float) -> OrganSlices:
    return replace(SUPPORT, images=SUPPORT.images * np.float32(factor))


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 1.0), (0.5, 2.0)])
def test_a_darker_support_scan_is_brightened(scale, expected):
    method = MatchedBrightness(Intensity(), model())
    assert method.factor(darker(scale), QUERY) == expected
    truth, plain = QUERY.masks, Intensity().segment(darker(scale), QUERY)
    found = method.segment(darker(scale), QUERY)
    np.testing.assert_array_equal(found, Intensity().segment(SUPPORT, QUERY))
    assert found[truth].mean() > 0.9
    assert scale == 1 or plain[truth].mean() < 0.1


def test_a_brighter_support_scan_is_darkened():
    query = replace(QUERY, images=QUERY.images / 2)
    assert MatchedBrightness(Intensity(), model()).factor(SUPPORT, query) == 0.5


def test_air_alone_changes_nothing():
    query = replace(QUERY, images=np.zeros_like(QUERY.images))
    assert MatchedBrightness(Intensity(), model()).factor(SUPPORT, query) == 1.0


def test_products_end_at_one():
    np.testing.assert_array_equal(brighter(SUPPORT, 2).images, np.minimum(2 * SUPPORT.images, 1))
    assert brighter(SUPPORT, 1.0) is SUPPORT


def test_names_and_identities_hold_the_factors():
    one, other = MatchedBrightness(Intensity(), model()), MatchedBrightness(Intensity(), model(), factors=(1.0,))
    assert one.name == "intensity, matched"
    assert one.identity != other.identity


@pytest.mark.parametrize("factors", [(), (1.0, 0.0), (float("nan"),)])
def test_factors_are_positive(factors):
    with pytest.raises(InputError, match="pass one positive factor or more"):
        MatchedBrightness(Intensity(), model(), factors=factors)
