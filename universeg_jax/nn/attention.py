"""Scaled dot-product attention with several heads, and windows of feature maps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from universeg_jax import backend
from universeg_jax.shapes import Array, Float, typed

LARGE = 2**18  # pairs of a query and a key, from which on a head of one entry is work enough at a time


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
    Where the logits of all heads would fill more than `backend.attention_memory()`, one head is taken after the other:
    the same numbers in less memory, and on a CPU in less time. Large heads (`LARGE`) are taken of one entry of the
    batch at a time, as plain matrices, whose products are up to three times as fast on a CPU.

    Args:
        bias: added to the logits; or a function that makes it (B,n,Q,K) of the queries (B,Q,n,D) of any n heads.
    """
    logits = max(len(query), len(key)) * query.shape[2] * query.shape[1] * key.shape[1]
    if logits * query.dtype.itemsize <= backend.attention_memory():
        mixed = _attend(query, key, value, bias)
    elif query.shape[1] * key.shape[1] < LARGE:
        mixed = _by_head(query, key, value, bias)
    else:
        mixed = _by_head_and_entry(query, key, value, bias)
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
    def one(head: tuple[Array, ...]) -> Array:
        *parts, own = head
        query, key, value = (part[:, :, None] for part in parts)
        return _attend(query, key, value, bias if own is None else own)[:, :, 0]

    parts = (jnp.moveaxis(part, 2, 0) for part in (query, key, value))
    return jnp.moveaxis(jax.lax.map(one, (*parts, None if callable(bias) else bias)), 0, 2)


def _by_head_and_entry(query: Array, key: Array, value: Array, bias: Array | Callable[[Array], Array] | None) -> Array:
    batch, heads = max(len(query), len(key)), query.shape[2]

    def matrices(vectors: Float[Array, "B T N D"]) -> Float[Array, "B*N T D"]:
        every = jnp.broadcast_to(vectors, (batch, *vectors.shape[1:]))
        return jnp.moveaxis(every, 2, 1).reshape(batch * heads, vectors.shape[1], -1)

    def one(parts: tuple[Array, ...]) -> Array:
        query, key, value, head = parts
        logits = (query * query.shape[-1] ** -0.5) @ key.T
        if bias is not None:
            own = bias(query[None, :, None])[0, 0] if callable(bias) else jnp.asarray(bias)[head]
            logits = logits + own.astype(logits.dtype)
        # softmax(logits) @ value, divided last: D columns, not K. The column of ones beside the values adds up the row.
        logits = logits.astype(jnp.float32)
        weights = jnp.exp(logits - logits.max(axis=-1, keepdims=True)).astype(value.dtype)
        sums = jnp.matmul(weights, value, preferred_element_type=jnp.float32)
        return (sums[:, :-1] / sums[:, -1:]).astype(value.dtype)

    with_ones = jnp.concatenate([value, jnp.ones((*value.shape[:3], 1), value.dtype)], axis=-1)
    which = jnp.tile(jnp.arange(heads), batch)
    mixed = jax.lax.map(one, (matrices(query), matrices(key), matrices(with_ones), which))
    return jnp.moveaxis(mixed.reshape(batch, heads, *mixed.shape[1:]), 1, 2)


@typed
def windows(images: Float[Array, "N H W C"], size: int, *, fill: Array | float = 0.0) -> Float[Array, "M T C"]:
    """Windows of `size`² pixels as M = N·ceil(H/size)·ceil(W/size) sequences of T = size² tokens, in raster order.

    Args:
        fill: what stands beyond the lower and right border: a number, or one for each channel (C,).
    """
    n, height, width, channels = images.shape
    below, right = -height % size, -width % size
    if below or right:
        fill = jnp.broadcast_to(jnp.asarray(fill, images.dtype), (channels,))
        images = jnp.concatenate([images, jnp.broadcast_to(fill, (n, below, width, channels))], axis=1)
        images = jnp.concatenate([images, jnp.broadcast_to(fill, (n, height + below, right, channels))], axis=2)
    rows, columns = (height + below) // size, (width + right) // size
    parts = images.reshape(n, rows, size, columns, size, channels).swapaxes(2, 3)
    return parts.reshape(n * rows * columns, size * size, channels)


@typed
def from_windows(parts: Float[Array, "M T C"], size: int, *, height: int, width: int) -> Float[Array, "N H W C"]:
    """The inverse of `windows`: what stood beyond the border is cut off."""
    channels = parts.shape[-1]
    rows, columns = -(-height // size), -(-width // size)
    images = parts.reshape(-1, rows, columns, size, size, channels).swapaxes(2, 3)
    return images.reshape(-1, rows * size, columns * size, channels)[:, :height, :width]
