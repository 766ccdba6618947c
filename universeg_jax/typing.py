"""Notation and shape checking.

Notation, used in every signature and docstring:

    B = batch (targets, each with its own task or all of one task)
    S = support entries, the labelled examples of a task
    H, W = height and width in pixels
    C = channels, F = features
    K = classes

Arrays are channels-last: target (B,H,W,1), support images and labels (B,S,H,W,1), logits (B,H,W,1).
"""

import jax
import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, Int, Shaped, jaxtyped

__all__ = ["Array", "Bool", "Float", "Int", "Shaped", "typed"]

Array = jax.Array | np.ndarray


def typed(function):
    """Check the shapes and dtypes in a function's signature each time it is called (under jit: traced)."""
    return jaxtyped(typechecker=beartype)(function)
