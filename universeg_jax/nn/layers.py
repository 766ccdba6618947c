"""Layers of transformers that compute in the type of their input, whatever that of their parameters.

Flax's own compute in the wider of the two: float32 parameters would make float32 of all that follows.
"""

from flax import nnx

from universeg_jax.typing import Array


class Linear(nnx.Linear):
    """(…,C) -> (…,F). Holds kernel (C,F) and bias (F,)."""

    def __call__(self, x: Array) -> Array:
        return x @ self.kernel[...].astype(x.dtype) + self.bias[...].astype(x.dtype)


class LayerNorm(nnx.LayerNorm):
    """(…,C) -> the same, normalised in float32 as in PyTorch. Holds scale and bias (C,)."""

    def __init__(self, features: int, *, epsilon: float, rngs: nnx.Rngs):
        super().__init__(features, epsilon=epsilon, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return super().__call__(x).astype(x.dtype)
