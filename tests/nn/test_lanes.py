import jax
import numpy as np
import pytest

from universeg_jax.nn.conv import conv2d
from universeg_jax.nn.lanes import block_diagonal, side_by_side
from universeg_jax.nn.support import mean_weights, weighted_mean


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("entries", "lanes"), [(4, 2), (3, 2), (3, 3)])
def test_entries_side_by_side_have_the_mean_of_their_convolutions(entries, lanes):
    images, kernel = random(0, entries, 4, 5, 3), random(1, 3, 3, 3, 2)
    weights = mean_weights(np.arange(1, entries + 1))
    convolved = conv2d(images, kernel)
    groups, of_groups = side_by_side(images, weights, lanes)
    together = conv2d(groups, block_diagonal(kernel, lanes))
    np.testing.assert_allclose(together[0, ..., 2:4], convolved[1], atol=1e-5)
    np.testing.assert_allclose(weighted_mean(together, of_groups), weighted_mean(convolved, weights), atol=1e-5)


def test_a_group_that_is_not_full_has_an_entry_without_weight():
    groups, weights = side_by_side(np.ones((3, 2, 2, 1), np.float32), np.full(3, 0.5, np.float32), 2)
    np.testing.assert_array_equal(weights, [[0.5, 0.5], [0.5, 0]])
    np.testing.assert_array_equal(groups[1, 0, 0], [1, 0])


def test_one_entry_for_each_array_leaves_the_kernel_as_it_is():
    kernel = jax.numpy.ones((3, 3, 2, 4))
    assert block_diagonal(kernel, 1) is kernel
