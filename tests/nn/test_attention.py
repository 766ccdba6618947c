"""Attention of one head after the other equals attention of all heads at once."""

import jax
import numpy as np
import pytest

from universeg_jax import backend
from universeg_jax.nn import attention
from universeg_jax.nn.attention import attend

RNG = np.random.default_rng(0)
QUERY, KEY, VALUE = RNG.standard_normal((3, 2, 5, 3, 4), np.float32)
BIAS = RNG.standard_normal((3, 5, 5)).astype(np.float32)
VECTORS = RNG.standard_normal((5, 4)).astype(np.float32)
WAYS = [(2**20, 2**20), (0, 2**20), (0, 0)]  # bytes that logits may fill, pairs that are a large head


def of_queries(query):
    return np.float32(2) * jax.numpy.einsum("bqnd,kd->bnqk", query, VECTORS)


def jitted(*arrays):
    return jax.jit(lambda *arrays: attend(*arrays))(*arrays)  # traced anew: what is patched is not in the cache's key


def by_definition(query, key, value, bias):
    mixed = np.empty(query.shape)
    for b, n in np.ndindex(2, 3):
        q, k, v = (x[b, :, n] for x in (query, key, value))
        logits = q @ k.T / 2 + (bias[n] if isinstance(bias, np.ndarray) else 2 * q @ VECTORS.T if bias else 0)
        weights = np.exp(logits)
        mixed[b, :, n] = weights / weights.sum(axis=1, keepdims=True) @ v
    return mixed.reshape(2, 5, 12)


@pytest.mark.parametrize("bias", [None, BIAS, of_queries], ids=["none", "array", "of queries"])
@pytest.mark.parametrize(("memory", "large"), WAYS, ids=["at once", "by head", "by head and entry"])
def test_all_ways_are_the_definition(bias, memory, large, monkeypatch):
    monkeypatch.setattr(backend, "attention_memory", lambda: memory)
    monkeypatch.setattr(attention, "LARGE", large)
    with jax.default_matmul_precision("float32"):
        mixed = jax.jit(lambda *arrays: attend(*arrays, bias=bias))(QUERY, KEY, VALUE)
    np.testing.assert_allclose(mixed, by_definition(QUERY, KEY, VALUE, bias), atol=1e-5)


@pytest.mark.parametrize(("memory", "large"), WAYS, ids=["at once", "by head", "by head and entry"])
def test_one_image_serves_all_queries(memory, large, monkeypatch):
    monkeypatch.setattr(backend, "attention_memory", lambda: memory)
    monkeypatch.setattr(attention, "LARGE", large)
    with jax.default_matmul_precision("float32"):
        mixed = jitted(QUERY, KEY[:1], VALUE[:1])
    one = (np.repeat(x[:1], 2, axis=0) for x in (KEY, VALUE))
    np.testing.assert_allclose(mixed, by_definition(QUERY, *one, None), atol=1e-5)


@pytest.mark.parametrize(("memory", "large"), WAYS, ids=["at once", "by head", "by head and entry"])
def test_large_logits_do_not_overflow(memory, large, monkeypatch):
    monkeypatch.setattr(backend, "attention_memory", lambda: memory)
    monkeypatch.setattr(attention, "LARGE", large)
    key, query = (np.full((1, count, 1, 4), 1000, np.float32) for count in (5, 2))
    value = np.abs(VALUE[:1, :, :1])
    mean = np.repeat(value.mean(axis=1).reshape(1, 1, 4), 2, axis=1)
    np.testing.assert_allclose(jitted(query, key, value), mean, rtol=1e-5)


@pytest.mark.parametrize(("memory", "large"), WAYS, ids=["at once", "by head", "by head and entry"])
def test_bfloat16_sums_more_keys_than_it_counts_to(memory, large, monkeypatch):
    monkeypatch.setattr(backend, "attention_memory", lambda: memory)
    monkeypatch.setattr(attention, "LARGE", large)
    same, value = (jax.numpy.full((1, 1000, 1, 4), fill, jax.numpy.bfloat16) for fill in (0, 1.5))
    mixed = jitted(same, same, value)
    assert mixed.dtype == jax.numpy.bfloat16
    np.testing.assert_allclose(mixed.astype(np.float32), 1.5, rtol=2**-7)
