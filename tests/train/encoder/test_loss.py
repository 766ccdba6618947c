"""The losses of ALPNet against an independent implementation in PyTorch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.alp_cases import CASES, GOLDEN, episode
from universeg_jax.train.encoder.loss import alp_loss, alp_scores, training_config, weighted_cross_entropy

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
    opposite = -arrays["support"]  # nothing of the query is like the foreground
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
