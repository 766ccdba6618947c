import numpy as np
import pytest

from tests.helpers.painting_sam import PaintingSAM
from universeg_jax.errors import InputError
from universeg_jax.models.protosam.coarse import _turn, _turn_back
from universeg_jax.models.protosam.config import Turn
from universeg_jax.models.protosam.encoder import Encoder
from universeg_jax.models.sam.image_encoder import Features


class StagedSAM(PaintingSAM):
    """Random features of one, two or three stages."""

    def __init__(self, stages):
        rng = np.random.default_rng(0)
        self.maps = [rng.standard_normal((1, 2, 2, channels)).astype(np.float32) for channels in (6, 5, 4)[-stages:]]

    def encode(self, images):
        return Features(embedding=images, early=self.maps[-1], earlier=tuple(self.maps[:-1]))


def cosine(maps):
    """Compute the cosine of the first two features of a map (1,h,w,C)."""
    a, b = np.asarray(maps)[0, 0]
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize(
    ("stages", "weights", "counted"),
    [
        (3, (0.2, 0.3, 0.5), (0.2, 0.3, 0.5)),
        (3, (0.5, 0.5), (0, 0.5, 0.5)),
        (2, (0.1, 0.3), (0.25, 0.75)),
        (3, None, (0.1, 0.2, 0.7)),
        (2, None, (2 / 9, 7 / 9)),
    ],
    ids=["all", "the last ones", "weights of another sum", "none given", "none given, two stages"],
)
def test_the_cosine_of_features_is_the_weighted_mean_of_the_stages_cosines(stages, weights, counted):
    sam = StagedSAM(stages)
    found = Encoder(sam, None, weights)(np.zeros((1, 8, 8, 3), np.float32), embedding=False).features
    expected = sum(weight * cosine(maps) for weight, maps in zip(counted, sam.maps, strict=True))
    np.testing.assert_allclose(cosine(found), expected, atol=1e-5)


@pytest.mark.parametrize(("stages", "weights"), [(3, (1.0,)), (1, (0.5,)), (1, None)])
def test_one_stage_alone_is_taken_as_it_is(stages, weights):
    sam = StagedSAM(stages)
    found = Encoder(sam, None, weights)(np.zeros((1, 8, 8, 3), np.float32), embedding=False).features
    np.testing.assert_array_equal(found, sam.maps[-1])


@pytest.mark.parametrize("stages", [1, 2])
def test_weights_of_more_stages_than_there_are_are_refused(stages):
    message = rf"stages=\(0\.1, 0\.2, 0\.7\): this image encoder has {stages} of them: pass at most so many"
    with pytest.raises(InputError, match=message):
        Encoder(StagedSAM(stages), None, (0.1, 0.2, 0.7))(np.zeros((1, 8, 8, 3), np.float32), embedding=False)


@pytest.mark.parametrize("mirrored", [False, True])
def test_degrees_turn_as_quarters_do(mirrored):
    maps = np.random.default_rng(0).standard_normal((2, 9, 9, 3)).astype(np.float32)
    by_degrees, by_quarters = Turn(degrees=90, mirrored=mirrored), Turn(quarters=1, mirrored=mirrored)
    np.testing.assert_allclose(_turn(maps, by_degrees), _turn(maps, by_quarters), atol=1e-5)
    np.testing.assert_allclose(_turn_back(maps, by_degrees), _turn_back(maps, by_quarters), atol=1e-5)


def test_a_turn_back_undoes_a_turn_where_the_image_was_not_left():
    rows, columns = np.mgrid[:40, :40] / 40
    smooth = np.stack([np.sin(3 * rows + columns), rows * columns], axis=-1)[None].astype(np.float32)
    inside = np.hypot(rows - 0.5, columns - 0.5) < 0.4
    for turn in (Turn(degrees=25), Turn(1, mirrored=True, degrees=-70)):
        again = _turn_back(_turn(smooth, turn), turn)
        assert again.shape == smooth.shape
        np.testing.assert_allclose(again[:, inside], smooth[:, inside], atol=5e-3)
        assert np.abs(_turn(smooth, turn) - smooth)[:, inside].max() > 0.3
