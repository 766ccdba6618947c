"""Several support entries: weights, and the choice of those most similar to a target."""

import numpy as np

from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.squares import BLUE, RED, SUPPORT, corner, masks_of, scene
from universeg_jax.models.protosam.config import ALPConfig, ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM


def several(entries, **options):
    """A task of several support entries (image, mask)."""
    images, masks = (np.stack(part) for part in zip(*entries, strict=True))
    exact = {"alp": ALPConfig(position_weight=0.0), "linear": None, "refinement": None}
    model = ProtoSAM(PaintingSAM(), config=ProtoSAMConfig(**(exact | options)))
    return model.prepare(images, masks[None, ..., None], np.ones((1, len(entries)), bool))


BLUE_WANTED = SUPPORT[0], scene((20, 20, 8, RED))[1]  # the image of SUPPORT, but the blue square is the foreground


def test_entries_without_weight_are_not_used():
    image, _ = corner(8, 12, 16)
    expected = [masks_of(several([entry]), image)[0] for entry in (SUPPORT, BLUE_WANTED)]
    found = np.asarray(several([SUPPORT, BLUE_WANTED])(np.stack([image, image]), weights=np.eye(2)))[0, ..., 0] > 0
    np.testing.assert_array_equal(found, expected)
    assert (found[0] != found[1]).any()


def test_each_target_is_compared_with_the_most_similar_entries():
    image, _ = scene((16, 4, 12, RED), (4, 20, 8, BLUE))
    task = several([SUPPORT, (image, scene((4, 20, 8, RED))[1])], nearest=1)
    targets = scene((5, 4, 12, RED), (20, 20, 8, BLUE))[0], scene((16, 5, 12, RED), (4, 20, 8, BLUE))[0]
    like_first, like_second = masks_of(task, *targets)
    assert like_first[8, 8]
    assert not like_first[24, 24]
    assert like_second[6, 24]
    assert not like_second[20, 8]
    by_weight = np.asarray(task(targets[0][None], weights=np.array([[0.5, 1.0]])))[0, 0, ..., 0] > 0
    assert by_weight[24, 24]  # a larger weight is preferred to similarity
    assert not by_weight[8, 8]
