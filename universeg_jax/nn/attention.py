"""Scaled dot-product attention with several heads."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from universeg_jax import backend
from universeg_jax.typing import Array, Float, typed

MANY = 2**18  # pairs of a query and a key, with which one head of one entry is work enough at a time


@typed
def attend(
    query: Float[Array, "_q Q N D"],
    key: Float[Array, "_k K N D"],
    value: Float[Array, "_k K N D"],
    *,
    bias: Float[Array, "N Q K"] | Callable[[Array], Array] | None = None,
) -> Float[Array, "_b Q M"]:
    """softmax(q kᵀ / √D + bias) v, for each of N heads; the heads side by side, M = N·D.

    The batch of queries and that of keys and values are the same, or one of them is 1 and serves all of the other.
    Where the logits of all heads would fill more than `backend.attention_memory()`, one head is taken after the other,
    where they are `MANY` of one entry alone: the same numbers in less memory, and on a CPU in less time.

    Args:
        bias: added to the logits; or a function that makes it (B,n,Q,K) of the queries (B,Q,n,D) of any n heads.
    """
    logits = max(len(query), len(key)) * query.shape[2] * query.shape[1] * key.shape[1]
    if logits * query.dtype.itemsize <= backend.attention_memory():
        mixed = _attend(query, key, value, bias)
    else:
        mixed = _by_head(query, key, value, bias)
    return mixed.reshape(*mixed.shape[:2], -1)


def softmax(logits: Array) -> Array:
    """Along the last axis. The sum is taken in float32: in bfloat16 it would stop growing after a few hundred terms."""
    return jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(logits.dtype)


def _attend(query: Array, key: Array, value: Array, bias: Array | Callable[[Array], Array] | None) -> Array:
    logits = jnp.einsum("bqnd,bknd->bnqk", query * query.shape[-1] ** -0.5, key)
    if bias is not None:
        logits = logits + (bias(query) if callable(bias) else bias).astype(logits.dtype)
    return jnp.einsum("bnqk,bknd->bqnd", softmax(logits), value)


def _by_head(query: Array, key: Array, value: Array, bias: Array | Callable[[Array], Array] | None) -> Array:
    batch, heads = max(len(query), len(key)), query.shape[2]

    def one(head: tuple[Array, ...]) -> Array:
        """A head of all entries of the batch (B,·,D), and its own bias."""
        *parts, own = head
        query, key, value = (part[:, :, None] for part in parts)
        return _attend(query, key, value, bias if own is None else own)[:, :, 0]

    def one_of_one(head: tuple[Array, ...]) -> Array:
        """A head of one entry (·,D): plain matrices, whose products are up to three times as fast on a CPU."""
        query, key, value, place = head
        logits = (query * query.shape[-1] ** -0.5) @ key.T
        if bias is not None:
            own = bias(query[None, :, None])[0, 0] if callable(bias) else jnp.asarray(bias)[place % heads]
            logits = logits + own.astype(logits.dtype)
        return softmax(logits) @ value

    if query.shape[1] * key.shape[1] < MANY:
        parts = (jnp.moveaxis(part, 2, 0) for part in (query, key, value))
        return jnp.moveaxis(jax.lax.map(one, (*parts, None if callable(bias) else bias)), 0, 2)
    parts = (
        jnp.moveaxis(jnp.broadcast_to(part, (batch, *part.shape[1:])), 2, 1).reshape(-1, part.shape[1], part.shape[3])
        for part in (query, key, value)
    )
    mixed = jax.lax.map(one_of_one, (*parts, jnp.arange(batch * heads)))
    return jnp.moveaxis(mixed.reshape(batch, heads, *mixed.shape[1:]), 1, 2)
