import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.nn.support import map_support, mean_weights, weighted_mean


def test_mean_weights_sum_to_one_over_present_entries():
    np.testing.assert_allclose(mean_weights(np.array([True, False, True, True])), [1 / 3, 0, 1 / 3, 1 / 3])
    np.testing.assert_allclose(mean_weights(np.array([1.0, 3.0], np.float32)), [0.25, 0.75])


def test_without_any_entry_means_are_zero():
    weights = mean_weights(np.zeros(3, bool))
    np.testing.assert_array_equal(weighted_mean(np.ones((3, 2), np.float32), weights), np.zeros((1, 2)))


def test_means_of_half_precision_entries_are_added_up_in_float32():
    entries = jnp.full((4096, 1), 1.01, jnp.bfloat16)  # a bfloat16 sum would stop growing at 256
    mean = weighted_mean(entries, mean_weights(np.ones(4096, bool)))
    assert mean.dtype == jnp.float32
    assert float(mean[0, 0]) == pytest.approx(float(entries[0, 0]), rel=1e-3)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(size=st.integers(1, 9), chunk=st.integers(1, 10), seed=st.integers(0, 99))
def test_chunks_change_nothing(size, chunk, seed):
    rng = np.random.default_rng(seed)
    entries = {"a": rng.random((size, 3), np.float32), "b": rng.random((size, 2, 2), np.float32)}
    weights = mean_weights(rng.random(size, np.float32))

    def function(part):
        return {"kept": part["a"] * 2}, (part["b"] ** 2, part["a"] + 1)

    kept, means = map_support(function, entries, weights, chunk=chunk)
    np.testing.assert_allclose(kept["kept"], entries["a"] * 2)
    np.testing.assert_allclose(means[0], np.average(entries["b"] ** 2, axis=0, weights=weights)[None], rtol=1e-5)
    np.testing.assert_allclose(means[1], np.average(entries["a"] + 1, axis=0, weights=weights)[None], rtol=1e-5)
