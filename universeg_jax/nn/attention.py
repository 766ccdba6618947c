"""Scaled dot-product attention with several heads, and windows of feature maps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from universeg_jax import backend
from universeg_jax.shapes import Array, Float

LARGE = 2**18
"""Pairs of a query and a key from which one head of one batch entry is computed at a time. Chosen by timing on CPUs."""

Bias = Array | Callable[[Array], Array] | None


def attend(
    query: Float[Array, "_q Q N D"],
    key: Float[Array, "_k K N D"],
    value: Float[Array, "_k K N D"],
    *,
    bias: Float[Array, "N Q K"] | Callable[[Array], Array] | None = None,
) -> Float[Array, "_b Q M"]:
    """Compute softmax(q kᵀ / √D + bias) v for N heads of D features.

    All heads are computed at once if their logits fit into `backend.attention_memory()`. Otherwise the heads follow one
    another. Large heads (`LARGE`) are computed for one batch entry at a time, as plain matrix products. The result is
    the same; the memory is smaller, and so is the time on a CPU.

    Args:
        query: (B,Q,N,D), or (1,Q,N,D) shared by all keys.
        key: (B,K,N,D), or (1,K,N,D) shared by all queries.
        value: same shape as `key`.
        bias: (N,Q,K), added to the logits; or a function from the queries (B,Q,n,D) of any n heads to (B,n,Q,K).

    Returns:
        (B,Q,M), the results of all heads in a row, M = N·D.
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
    """Compute the softmax along the last axis, in float32.

    A sum in bfloat16 would stop growing after a few hundred terms.
    """
    return jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(logits.dtype)


def _attend(query: Array, key: Array, value: Array, bias: Bias) -> Array:
    logits = jnp.einsum("bqnd,bknd->bnqk", query * query.shape[-1] ** -0.5, key)
    if bias is not None:
        logits = logits + (bias(query) if callable(bias) else bias).astype(logits.dtype)
    return jnp.einsum("bnqk,bknd->bqnd", softmax(logits), value)


def _by_head(query: Array, key: Array, value: Array, bias: Bias) -> Array:
    """Compute one head after the other."""

    def one(head: tuple[Array, Array, Array, Array | None]) -> Array:
        query, key, value = (part[:, :, None] for part in head[:3])
        own = head[3]
        return _attend(query, key, value, bias if own is None else own)[:, :, 0]

    parts = (jnp.moveaxis(part, 2, 0) for part in (query, key, value))
    return jnp.moveaxis(jax.lax.map(one, (*parts, None if callable(bias) else bias)), 0, 2)


def _by_head_and_entry(query: Array, key: Array, value: Array, bias: Bias) -> Array:
    """Compute one head of one batch entry after the other."""
    batch, heads = max(len(query), len(key)), query.shape[2]

    def matrices(vectors: Float[Array, "_b T N D"]) -> Float[Array, "M T D"]:
        every = jnp.broadcast_to(vectors, (batch, *vectors.shape[1:]))
        return jnp.moveaxis(every, 2, 1).reshape(batch * heads, vectors.shape[1], -1)

    def one(parts: tuple[Array, ...]) -> Array:
        query, key, value, head = parts
        logits = (query * query.shape[-1] ** -0.5) @ key.T
        if bias is not None:
            own = bias(query[None, :, None])[0, 0] if callable(bias) else jnp.asarray(bias)[head]
            logits = logits + own.astype(logits.dtype)
        # softmax(logits) @ value. The division comes last, because the result has fewer columns than the logits.
        # A column of ones next to the values gives the sum of each row.
        logits = logits.astype(jnp.float32)
        weights = jnp.exp(logits - logits.max(axis=-1, keepdims=True)).astype(value.dtype)
        sums = jnp.matmul(weights, value, preferred_element_type=jnp.float32)
        return (sums[:, :-1] / sums[:, -1:]).astype(value.dtype)

    with_ones = jnp.concatenate([value, jnp.ones((*value.shape[:3], 1), value.dtype)], axis=-1)
    which = jnp.tile(jnp.arange(heads), batch)
    mixed = jax.lax.map(one, (matrices(query), matrices(key), matrices(with_ones), which))
    return jnp.moveaxis(mixed.reshape(batch, heads, *mixed.shape[1:]), 1, 2)


def windows(images: Float[Array, "N H W C"], size: int, *, fill: Array | float = 0.0) -> Float[Array, "M T C"]:
    """Cut images into windows of `size`² pixels.

    Args:
        images: feature maps (N,H,W,C).
        size: side of a window in pixels.
        fill: value beyond the lower and right border: one number, or one for each channel (C,).

    Returns:
        (M,T,C): M = N·ceil(H/size)·ceil(W/size) windows of T = size² pixels, in raster order.
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


def from_windows(parts: Float[Array, "M T C"], size: int, *, height: int, width: int) -> Float[Array, "N H W C"]:
    """Join the windows of `windows` to images (N,height,width,C), without the filled border."""
    channels = parts.shape[-1]
    rows, columns = -(-height // size), -(-width // size)
    images = parts.reshape(-1, rows, columns, size, size, channels).swapaxes(2, 3)
    return images.reshape(-1, rows * size, columns * size, channels)[:, :height, :width]
