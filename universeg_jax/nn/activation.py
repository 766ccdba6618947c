"""Activations as PyTorch computes them."""

from jax import lax

from universeg_jax.typing import Array


def gelu(features: Array) -> Array:
    """x Φ(x), by the error function as in `torch.nn.GELU()`.

    `jax.nn.gelu(approximate=False)` takes erfc, which XLA computes on CPU by twice the arithmetic.
    """
    return 0.5 * features * (1 + lax.erf(features * 0.5**0.5))
