"""Scaled dot-product attention with several heads."""

import jax
import jax.numpy as jnp

from universeg_jax.typing import Array, Float, typed


@typed
def attend(
    query: Float[Array, "_q Q N D"],
    key: Float[Array, "_k K N D"],
    value: Float[Array, "_k K N D"],
    *,
    bias: Array | None = None,
) -> Float[Array, "_b Q M"]:
    """softmax(q kᵀ / √D + bias) v, for each of N heads; the heads side by side, M = N·D.

    The batch of queries and that of keys and values are the same, or one of them is 1 and serves all of the other.

    Args:
        bias: added to the logits, of a shape that broadcasts to (B,N,Q,K).
    """
    logits = jnp.einsum("bqnd,bknd->bnqk", query * query.shape[-1] ** -0.5, key)
    if bias is not None:
        logits = logits + bias.astype(logits.dtype)
    weights = jax.nn.softmax(logits, axis=-1)
    mixed = jnp.einsum("bnqk,bknd->bqnd", weights, value)
    return mixed.reshape(*mixed.shape[:2], -1)
