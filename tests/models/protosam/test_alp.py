from functools import partial

import jax
import numpy as np
import pytest

from tests.helpers.prototypes_by_loops import alp_scores
from universeg_jax.models.protosam.alp import prototypes, scores
from universeg_jax.models.protosam.config import ALPConfig, LabelSampling

SIDE, CHANNELS = 8, 5
UPSTREAM = ALPConfig(
    purity=0.95, foreground_grid=2, label_sampling=LabelSampling.NEAREST, position_weight=0.0, joint=False
)
ANYWHERE = ALPConfig(position_weight=0.0)
jitted_prototypes = partial(jax.jit, static_argnames="config")(prototypes)
jitted_scores = partial(jax.jit, static_argnames="config")(scores)


def task(*squares, seed=0):
    """Random features of support images and of two targets, and masks with a square (top, left, side) in each."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((len(squares), SIDE, SIDE, CHANNELS)).astype(np.float32)
    targets = rng.standard_normal((2, SIDE, SIDE, CHANNELS)).astype(np.float32)
    masks = np.zeros((len(squares), SIDE, SIDE), np.float32)
    for mask, (top, left, side) in zip(masks, squares, strict=True):
        mask[top : top + side, left : left + side] = 1
    return features, targets, masks


def found(features, targets, masks, config, counts=None):
    counts = np.ones((1, len(masks)), bool) if counts is None else counts
    known = jitted_prototypes(features, masks[None], counts, np.zeros(1, bool), config=config)
    return np.stack(jitted_scores(targets, known, config=config))[:, 0]


@pytest.mark.parametrize(
    "config", [UPSTREAM, ALPConfig(), ALPConfig(window=3, purity=0.6, scale=7.0, position_weight=1.5)]
)
@pytest.mark.parametrize(
    "squares", [[(2, 2, 5)], [(3, 3, 3)], [(0, 0, 4), (2, 3, 3)]], ids=["grid", "small", "two shots, one of them small"]
)
def test_masked_softmax_is_the_selection_of_the_definition(squares, config):
    features, targets, masks = task(*squares)
    for b, target in enumerate(targets):
        expected = alp_scores(target, features, masks, config)
        np.testing.assert_allclose(found(features, targets, masks, config)[:, b], expected, atol=2e-4)


def test_a_small_foreground_has_only_its_global_prototype_with_a_foreground_grid():
    features, _, masks = task((2, 2, 3))
    with_grid = jitted_prototypes(features, masks[None], np.ones((1, 1), bool), np.zeros(1, bool), config=UPSTREAM)
    without = jitted_prototypes(features, masks[None], np.ones((1, 1), bool), np.zeros(1, bool), config=ALPConfig())
    assert not with_grid.foreground.any()
    assert without.foreground.any()


def test_entries_that_do_not_count_change_nothing():
    features, targets, masks = task((0, 0, 4), (2, 3, 3))
    alone = found(features[:1], targets, masks[:1], ALPConfig())
    masked = found(features, targets, masks, ALPConfig(), counts=np.array([[True, False]]))
    np.testing.assert_allclose(masked, alone, atol=1e-5)


def test_classes_do_not_mix():
    features, targets, masks = task((0, 0, 4), (2, 3, 3))
    both = np.stack([masks, 1 - masks])
    counts = np.ones((2, 2), bool)
    together = np.stack(
        jitted_scores(
            targets,
            jitted_prototypes(features, both, counts, np.zeros(2, bool), config=ALPConfig()),
            config=ALPConfig(),
        )
    )
    for k in range(2):
        np.testing.assert_allclose(together[:, k], found(features, targets, both[k], ALPConfig()), atol=1e-4)


def test_without_a_pure_background_cell_the_mean_of_the_background_takes_their_place():
    features, targets, masks = task((0, 0, 8))
    masks[0, ::2, ::2] = 0  # a quarter of every cell is background
    background, _ = found(features, targets, masks, ANYWHERE)
    mean = features[0, ::2, ::2].mean(axis=(0, 1))
    unit = targets / np.linalg.norm(targets, axis=-1, keepdims=True)
    np.testing.assert_allclose(background, 20 * unit @ mean / np.linalg.norm(mean), atol=1e-3)


@pytest.mark.parametrize(("value", "winner"), [(0, 0), (1, 1)], ids=["empty mask", "mask covers the image"])
def test_with_one_class_only_everything_is_of_it(value, winner):
    features, targets, masks = task((0, 0, 0))
    background, foreground = found(features, targets, masks + value, ALPConfig())
    assert np.isfinite([background, foreground]).all()
    assert ((foreground > background) == bool(winner)).all()


def test_labels_come_to_the_grid_softly_or_by_one_pixel():
    features, _, _ = task((0, 0, 0))
    labels = np.zeros((1, 1, 2 * SIDE, 2 * SIDE), np.float32)
    labels[..., 1::2, 1::2] = 1  # a quarter of every feature's area, and none of the pixels that nearest takes
    counts = np.ones((1, 1), bool)
    for sampling, found_some in [(LabelSampling.AREA, True), (LabelSampling.NEAREST, False)]:
        known = jitted_prototypes(
            features, labels, counts, np.zeros(1, bool), config=ALPConfig(label_sampling=sampling)
        )
        assert bool(known.has_foreground[0, 0]) == found_some


def test_features_smaller_than_a_window_are_refused():
    features, _, masks = task((0, 0, 1))
    with pytest.raises(ValueError, match="features are 8x8, smaller than a window of 9"):
        prototypes(features, masks[None], np.ones((1, 1), bool), np.zeros(1, bool), ALPConfig(window=9))


def test_large_inputs_are_taken_in_parts(monkeypatch):
    features, targets, masks = task((2, 2, 5))
    whole = found(features, targets, masks, ALPConfig())
    monkeypatch.setattr("universeg_jax.models.protosam.alp.AT_ONCE", 50)
    known = jitted_prototypes(features, masks[None], np.ones((1, 1), bool), np.zeros(1, bool), config=ALPConfig())
    np.testing.assert_allclose(
        np.stack(jax.jit(lambda *given: scores(*given, ALPConfig()))(targets, known))[:, 0], whole, atol=1e-4
    )


def test_positions_have_no_weight_for_what_is_anywhere():
    features, targets, masks = task((2, 2, 5))
    known = jitted_prototypes(features, masks[None], np.ones((1, 1), bool), np.ones(1, bool), config=ALPConfig())
    found_anywhere = np.stack(jitted_scores(targets, known, config=ALPConfig()))[:, 0]
    np.testing.assert_allclose(found_anywhere, found(features, targets, masks, ANYWHERE), atol=1e-4)


def test_similarities_far_apart_leave_finite_scores():
    features, targets, masks = task((2, 2, 5))
    wide = found(features, targets, masks, ALPConfig(scale=400.0))
    assert np.isfinite(wide).all()
    clear = np.abs(np.diff(wide, axis=0)) > 1
    narrow = found(features, targets, masks, ALPConfig(scale=30.0))
    assert ((wide[1] > wide[0]) == (narrow[1] > narrow[0]))[clear[0]].mean() > 0.9
