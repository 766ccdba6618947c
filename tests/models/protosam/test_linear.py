from functools import partial

import jax
import numpy as np
import pytest

from universeg_jax.models.protosam.config import ALPConfig, LinearConfig
from universeg_jax.models.protosam.linear import fit_linear, linear_scores

SIDE, CHANNELS = 8, 5
ALP = ALPConfig(window=1)
fitted = partial(jax.jit, static_argnames=("alp", "config"))(fit_linear)
scored = jax.jit(linear_scores)


def task(entries=2, seed=0):
    """Random features (S,8,8,5), and masks (1,S,8,8) of where the first channel is positive."""
    features = np.random.default_rng(seed).standard_normal((entries, SIDE, SIDE, CHANNELS)).astype(np.float32)
    return features, (features[None, ..., 0] > 0).astype(np.float32)


def fit(features, masks, *, counts=None, anywhere=False, config=None):
    counts = np.ones(masks.shape[:2], bool) if counts is None else counts
    return fitted(features, masks, counts, np.full(len(masks), anywhere), alp=ALP, config=config or LinearConfig())


def test_it_is_the_weighted_ridge_regression_of_the_definition():
    features, masks = task()
    masks[:, 1] = 0  # so that the classes are not of one size
    ridge, factor = 0.2, 0.3
    known = fit(features, masks, config=LinearConfig(ridge=ridge, position=factor))
    axis = (2 * np.arange(SIDE) + 1) / SIDE - 1
    y, x = (np.tile(grid, (2, 1, 1)).ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    values = features.reshape(-1, CHANNELS).astype(float)
    centred = values - values.mean(axis=0)
    position = factor * np.stack([y, x, y * y, x * x, y * x], axis=1)
    seen = np.hstack([centred / np.linalg.norm(centred, axis=1)[:, None], np.full((len(y), 1), 0.3), position])
    truth = masks.ravel()
    even = np.where(truth > 0, 0.5 / truth.sum(), 0.5 / (1 - truth).sum())
    weight = (even + 1 / len(truth)) / 2
    square = (seen * weight[:, None]).T @ seen
    towards = seen.T @ (weight * (2 * truth - 1))
    expected = np.linalg.solve(square + ridge * np.trace(square) / len(square) * np.eye(len(square)), towards)
    np.testing.assert_allclose(known.weights[0], expected, atol=1e-4)
    np.testing.assert_allclose(scored(features, known)[0].ravel(), seen @ expected, atol=1e-4)


def test_it_finds_the_channel_that_tells_the_classes_apart():
    known = fit(*task())
    unseen, truth = task(seed=1)
    assert ((np.asarray(scored(unseen, known))[0] > 0) == (truth[0] > 0)).mean() > 0.9


def test_entries_that_do_not_count_change_nothing():
    features, masks = task()
    alone, masked = fit(features[:1], masks[:, :1]), fit(features, masks, counts=np.array([[True, False]]))
    np.testing.assert_allclose(scored(features, masked), scored(features, alone), atol=1e-4)


def test_positions_count_unless_the_class_is_anywhere():
    features, _ = task()
    left = np.zeros((1, 2, SIDE, SIDE), np.float32)
    left[..., : SIDE // 2] = 1
    unseen, _ = task(seed=1)
    here, anywhere = (np.asarray(scored(unseen, fit(features, left, anywhere=value))) for value in (False, True))
    assert here[..., 0].mean() > here[..., -1].mean() + 0.5
    assert abs(anywhere[..., 0].mean() - anywhere[..., -1].mean()) < 0.3
    assert not np.asarray(fit(features, left, anywhere=True).weights)[:, -5:].any()


@pytest.mark.parametrize("value", [0, 1], ids=["empty mask", "mask covers the image"])
@pytest.mark.parametrize("constant", [False, True])
def test_one_class_only_and_constant_features_are_defined(value, constant):
    features, masks = task()
    found = np.asarray(scored(features, fit(0 * features + 1 if constant else features, 0 * masks + value)))
    assert ((found > 0) == bool(value)).all()
