import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from universeg_jax.train.losses import cross_entropy_loss, soft_dice_loss


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
