"""Losses of training. The losses of ALPNet are compared with an independent implementation in PyTorch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from tests.helpers.alp_cases import CASES, GOLDEN, episode
from universeg_jax.train.losses import (
    alp_loss,
    alp_scores,
    cross_entropy_loss,
    soft_dice_loss,
    training_config,
    weighted_cross_entropy,
)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (3, 5, 6, 1)).astype(np.float32), rng.random((3, 5, 6, 1), np.float32)


def test_soft_dice_is_its_formula(pair):
    logits, labels = pair
    for loss, x, y in zip(soft_dice_loss(*pair), logits, labels, strict=True):
        p, y = expit(x.astype(np.float64)).ravel(), y.astype(np.float64).ravel()
        assert loss == pytest.approx(1 - 2 * (p @ y) / (p @ p + y @ y), abs=1e-6)


def test_cross_entropy_is_its_formula(pair):
    logits, labels = pair
    for loss, x, y in zip(cross_entropy_loss(*pair), logits.astype(np.float64), labels, strict=True):
        p = expit(x)
        assert loss == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), abs=1e-5)


def test_of_masks_it_is_the_dice_score():
    label = np.zeros((2, 4, 4, 1), np.float32)
    label[:, :2] = 1
    mask = np.stack([label[0], np.roll(label[0], 1, axis=0)])
    np.testing.assert_allclose(soft_dice_loss(100 * (2 * mask - 1), label), [0, 0.5], atol=1e-6)


def test_of_masks_it_is_that_of_optax(pair):
    # Optax does not square; zeros and ones are their own squares.
    mask, label = ((pair[i] > threshold).astype(np.float32) for i, threshold in ((0, 0), (1, 0.5)))
    logits = 200 * mask - 100
    expected = [
        optax.losses.binary_dice_loss(x[None], y[None], smooth=1e-7) for x, y in zip(logits, label, strict=True)
    ]
    np.testing.assert_allclose(soft_dice_loss(logits, label), np.ravel(expected), atol=1e-6)


def test_an_empty_label_is_learnt_too():
    empty = jnp.zeros((1, 4, 4, 1))
    assert soft_dice_loss(empty - 100, empty)[0] == pytest.approx(0)
    assert soft_dice_loss(empty, empty)[0] == pytest.approx(1)
    assert jax.grad(lambda x: cross_entropy_loss(x, empty).sum())(empty).min() > 0


def test_half_precision_is_summed_in_single(pair):
    logits, labels = (jnp.asarray(x, jnp.bfloat16) for x in pair)
    for loss in (soft_dice_loss, cross_entropy_loss):
        assert loss(logits, labels).dtype == jnp.float32
        exact = loss(logits.astype(jnp.float32), labels.astype(jnp.float32))
        np.testing.assert_allclose(loss(logits, labels), exact, rtol=1e-6)


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_large_logits_have_finite_losses_and_gradients(value):
    logits, label = jnp.full((1, 4, 4, 1), value), jnp.ones((1, 4, 4, 1))
    for loss in (soft_dice_loss, cross_entropy_loss):
        found = jax.value_and_grad(lambda x, loss=loss: loss(x, label).sum())(logits)
        assert all(np.isfinite(x).all() for x in found)


CONFIG = training_config(16)


def loss_of(features, arrays):
    found = alp_loss(*features, arrays["support_label"], arrays["query_label"], CONFIG)
    return found.query + found.alignment, found


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_pytorch(case):
    arrays = episode(case)
    features = arrays["support"], arrays["query"]
    (_, found), gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(features, arrays)
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose([found.query, found.alignment], golden[f"{case}/losses"], rtol=1e-4)
        for name, gradient in zip(("support", "query"), gradients, strict=True):
            expected = golden[f"{case}/{name}"]
            assert np.abs(expected).max() > 1e-4
            assert np.linalg.norm(gradient - expected) < 1e-4 * np.linalg.norm(expected)


def test_the_two_cases_use_both_kinds_of_prototypes():
    thick, thin = (episode(case) for case in CASES)
    for arrays, local in ((thick, True), (thin, False)):
        with_cells = alp_scores(arrays["support"], arrays["support_label"], arrays["query"], CONFIG)[1]
        # A grid of one block is too coarse for any local prototype.
        without = replace(CONFIG, foreground_grid=1)
        mean_only = alp_scores(arrays["support"], arrays["support_label"], arrays["query"], without)[1]
        assert bool(jnp.allclose(with_cells, mean_only)) != local


@pytest.mark.compare
def test_the_golden_file_is_that_of_the_reference():
    from tests.helpers.make_alp_golden import golden

    with np.load(GOLDEN) as stored:
        for name, value in golden().items():
            np.testing.assert_allclose(value, stored[name], rtol=1e-9)


def test_an_empty_prediction_has_no_alignment_loss():
    arrays = episode("thin")
    opposite = -arrays["support"]  # no feature of the query resembles the foreground
    foreground = arrays["support_label"][::3, ::3] > 0
    query = np.broadcast_to(opposite[foreground].mean(axis=0), opposite.shape)
    (_, found), gradients = jax.value_and_grad(loss_of, has_aux=True)((arrays["support"], query), arrays)
    assert found.alignment == 0
    assert found.query > 1
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_structure_smaller_than_a_feature_has_finite_gradients():
    arrays = episode("thin") | {"support_label": np.zeros((48, 48), np.float32)}
    arrays["support_label"][1, 1] = 1  # between the features
    (value, _), gradients = jax.value_and_grad(loss_of, has_aux=True)((arrays["support"], arrays["query"]), arrays)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_cross_entropy_is_a_weighted_mean():
    logits = jnp.array([[[0.0, 2.0]], [[1.0, 0.0]]])
    label = jnp.array([[1.0, 0.0]])
    first, second = np.log(1 + np.exp(-1)), np.log(1 + np.exp(-2))
    expected = (first + 0.05 * second) / 1.05
    assert weighted_cross_entropy(logits, label, background=0.05) == pytest.approx(expected, rel=1e-6)
