import jax
import numpy as np
import pytest
from flax import nnx

from universeg_jax.nn.conv import LINEAR, RECTIFIED, conv2d
from universeg_jax.nn.cross_conv import CrossBlock, CrossConv
from universeg_jax.nn.support import mean_weights


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.fixture
def cross():
    cross = CrossConv(3, 2, 4, gain=LINEAR, rngs=nnx.Rngs(0))
    cross.bias[...] = random(5, 4)
    return cross


def test_definition_convolves_target_and_support_together(cross):
    target, support = random(1, 6, 5, 3), random(2, 6, 5, 2)
    kernel = np.concatenate([cross.kernel_target[...], cross.kernel_support[...]], axis=2)
    expected = conv2d(np.concatenate([target, support], axis=-1)[None], kernel)[0] + cross.bias[...]
    np.testing.assert_allclose(cross(target, support), expected, atol=1e-6)


def test_halves_add_up_to_the_definition(cross):
    target, support = random(1, 6, 5, 3), random(2, 4, 6, 5, 2)
    expected = jax.vmap(cross, in_axes=(None, 0))(target, support)
    np.testing.assert_allclose(cross.target_half(target[None]) + cross.support_half(support), expected, atol=1e-5)


@pytest.mark.parametrize(("activation", "gain"), [(None, LINEAR), (jax.nn.leaky_relu, RECTIFIED)])
def test_cross_weights_start_with_the_gain_of_what_follows(activation, gain):
    block = CrossBlock(64, 64, 64, 64, cross_activation=activation, rngs=nnx.Rngs(0))
    weights = np.concatenate([block.cross.kernel_target[...], block.cross.kernel_support[...]], axis=2)
    assert np.std(weights) == pytest.approx(gain / (9 * 128) ** 0.5, rel=0.01)
    assert np.std(block.support.kernel[...]) == pytest.approx(RECTIFIED / (9 * 64) ** 0.5, rel=0.01)


def test_block_follows_the_equations():
    block = CrossBlock(2, 3, 4, 5, cross_activation=jax.nn.leaky_relu, rngs=nnx.Rngs(0))
    target, support, weights = random(1, 1, 6, 6, 2), random(2, 2, 6, 6, 3), mean_weights(np.array([1.0, 3.0]))
    z = [jax.nn.leaky_relu(block.cross(target[0], v)) for v in support]
    mean = 0.25 * z[0] + 0.75 * z[1]
    new_target, new_support = block(target, support, weights)
    np.testing.assert_allclose(new_target[0], jax.nn.leaky_relu(block.target(mean[None]))[0], atol=1e-5)
    np.testing.assert_allclose(new_support[1], jax.nn.leaky_relu(block.support(z[1][None]))[0], atol=1e-5)


def test_wrong_shapes_are_refused(cross):
    with pytest.raises(Exception, match=r"(?i)type-check"):
        cross.target_half(np.zeros((1, 6, 5, 3, 1), np.float32))
