"""Work over the entries of a support set, a few at a time.

Only means couple the entries of a support set. So each block of the network can take them in chunks that
stay in the processor's cache, keep what the next block needs of each entry, and add up the means on the way.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from universeg_jax.shapes import Array

PyTree = Any


def mean_weights(mask: Array, *, axis_name: str | None = None) -> Array:
    """Turn a mask or weights (S,) into weights that sum to one, over all devices of `axis_name`.

    Where no entry is present every weight is zero, so that means are zero rather than NaN.
    """
    mask = mask.astype(jnp.float32)
    total = _sum_over_devices(mask.sum(), axis_name)
    return mask / jnp.where(total > 0, total, 1)


def weighted_mean(entries: PyTree, weights: Array, *, axis_name: str | None = None) -> PyTree:
    """Mean over the leading axis S with weights (S,) that sum to one, over all devices of `axis_name`.

    The axis stays, with length 1, and the dtype becomes float32: sums of many entries need its digits.
    """

    def mean(x: Array) -> Array:
        return jnp.tensordot(weights, x, axes=1, preferred_element_type=jnp.float32)[None]

    return _sum_over_devices(jax.tree.map(mean, entries), axis_name)


def map_support(
    function: Callable[[PyTree], tuple[PyTree, PyTree]],
    entries: PyTree,
    weights: Array,
    *,
    chunk: int,
    axis_name: str | None = None,
    checkpoint: bool = False,
) -> tuple[PyTree, PyTree]:
    """Apply `function` to chunks of the support; keep one part of what it returns, average the other.

    Args:
        function: takes `entries` with a leading axis of any length, returns (kept, averaged) with the same.
        entries: arrays with leading axis S.
        weights: (S,), summing to one (`mean_weights`).
        chunk: entries at a time; what is left over after full chunks comes last, on its own.
        axis_name: the named axis over whose devices the support set is spread.
        checkpoint: apply `function` once more for a gradient rather than keep what it computes on the way.

    Returns:
        kept, with leading axis S, and the weighted means, with leading axis 1.
    """
    size = weights.shape[0]
    chunk = min(chunk, size)
    left_over = size % chunk
    parts = (entries, weights)

    def apply(part: tuple[PyTree, Array]) -> tuple[PyTree, PyTree]:
        part_entries, part_weights = part
        kept, averaged = function(part_entries)
        return kept, weighted_mean(averaged, part_weights)

    if checkpoint:
        apply = jax.checkpoint(apply)
    if size == chunk:
        kept, means = apply(parts)
    else:
        chunks = jax.tree.map(lambda x: x[: size - left_over].reshape(-1, chunk, *x.shape[1:]), parts)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype),
            jax.eval_shape(apply, jax.tree.map(lambda x: x[0], chunks))[1],
        )

        def step(total: PyTree, part: tuple[PyTree, Array]) -> tuple[PyTree, PyTree]:
            kept, means = apply(part)
            return jax.tree.map(jnp.add, total, means), kept

        means, kept = lax.scan(step, zeros, chunks)
        kept = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), kept)
        if left_over:
            means, rest = step(means, jax.tree.map(lambda x: x[size - left_over :], parts))
            kept = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), kept, rest)
    return kept, _sum_over_devices(means, axis_name)


def _sum_over_devices(values: PyTree, axis_name: str | None) -> PyTree:
    return values if axis_name is None else lax.psum(values, axis_name)
