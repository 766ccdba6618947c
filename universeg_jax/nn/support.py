"""Computation over the entries of a support set, a few at a time, and over targets.

Only means couple the entries of a support set. So each block of the network computes them in chunks that fit into the
processor's cache. It keeps the features that the next block needs, and adds up the means on the way.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from universeg_jax.shapes import Array, Size

PyTree = Any


def mean_weights(mask: Array, *, axis_name: str | None = None) -> Array:
    """Scale a mask or weights (S,) to weights with sum one over all devices of `axis_name`.

    Without any present entry all weights are zero, so that means are zero rather than NaN.
    """
    mask = mask.astype(jnp.float32)
    total = _sum_over_devices(mask.sum(), axis_name)
    return mask / jnp.where(total > 0, total, 1)


def weighted_mean(entries: PyTree, weights: Array, *, axis_name: str | None = None) -> PyTree:
    """Compute the weighted mean over the leading axis S, over all devices of `axis_name`.

    Args:
        entries: arrays (S,…).
        weights: (S,) with sum one (`mean_weights`); or (S,L) for L entries side by side in the last axis.
        axis_name: named axis over whose devices the support set is split.

    Returns:
        Arrays (1,…) of one entry, in float32, because sums of many entries need its precision.
    """

    def mean(x: Array) -> Array:
        if weights.ndim == 1:
            return jnp.tensordot(weights, x, axes=1, preferred_element_type=jnp.float32)[None]
        lanes = weights.shape[1]
        of_channels = jnp.repeat(weights, x.shape[-1] // lanes, axis=1)
        total = (x * jnp.expand_dims(of_channels, tuple(range(1, x.ndim - 1)))).sum(axis=0, keepdims=True)
        return sum(jnp.split(total, lanes, axis=-1))

    return _sum_over_devices(jax.tree.map(mean, entries), axis_name)


def map_support(
    function: Callable[[PyTree], tuple[PyTree, PyTree]],
    entries: PyTree,
    weights: Array,
    *,
    chunk: Size,
    axis_name: str | None = None,
    checkpoint: bool = False,
) -> tuple[PyTree, PyTree]:
    """Apply a function to chunks of the support. Keep one part of its result, average the other.

    Args:
        function: function from `entries` with a leading axis of any length to (kept, averaged) with the same axis.
        entries: arrays with leading axis S.
        weights: (S,) or (S,L), as in `weighted_mean`.
        chunk: number of entries at a time. A smaller last chunk takes the remainder.
        axis_name: named axis over whose devices the support set is split.
        checkpoint: for a gradient, apply `function` again instead of storing its intermediate results.

    Returns:
        The kept part with leading axis S, and the weighted mean of the other part with leading axis 1.
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


def for_each_target(run: Callable, target: Array, support: Array, mask: Array, *, at_once: Size) -> Array:
    """Run on each target with its own or the shared support set and mask.

    Args:
        run: function of one target, its support set (S,…) and its mask (S,).
        target: (B,…).
        support: (B,S,…), or (1,S,…) shared by all targets.
        mask: (B,S), or (1,S) shared by all targets.
        at_once: number of targets computed at a time.

    Returns:
        The results, stacked along the leading axis B.
    """
    shared = support.shape[0] == 1, mask.shape[0] == 1
    # Shared arrays are closed over, so that vmap computes the parts that depend on them alone only once.
    own = target, *(None if is_shared else x for is_shared, x in zip(shared, (support, mask), strict=True))

    def one(own: tuple[Array, Array | None, Array | None]) -> Array:
        target, own_support, own_mask = own
        return run(target, support[0] if shared[0] else own_support, mask[0] if shared[1] else own_mask)

    if target.shape[0] <= at_once:
        return jax.vmap(one)(own)
    return lax.map(one, own, batch_size=at_once)


def _sum_over_devices(values: PyTree, axis_name: str | None) -> PyTree:
    return values if axis_name is None else lax.psum(values, axis_name)
