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


Shape = tuple[int, ...]


def check_shapes(target: Shape, images: Shape, labels: Shape, mask: Shape | None) -> None:
    """Raise a ValueError that names what does not fit, and how it would."""
    if len(target) != 4 or target[-1] != 1:
        raise ValueError(f"target has shape {target}; it must be (B,H,W,1)")
    if len(images) != 5 or images != labels:
        raise ValueError(
            f"support images have shape {images}, support labels {labels}; both must be (B,S,H,W,1) or (1,S,H,W,1)"
        )
    if images[2:] != target[1:]:
        raise ValueError(f"support images are {images[2]}x{images[3]}, the target {target[1]}x{target[2]}: resize one")
    if images[0] not in (1, target[0]):
        raise ValueError(f"{target[0]} targets but {images[0]} support sets: give one for each, or one for all")
    if images[1] == 0:
        raise ValueError("the support set is empty: give at least one labelled example")
    if mask is not None and (len(mask) != 2 or mask[0] not in (1, target[0]) or mask[1] != images[1]):
        raise ValueError(f"support mask has shape {mask}; it must be ({target[0]},{images[1]}) or (1,{images[1]})")


def check_divisible(size: Shape, divisor: int) -> None:
    """Raise a ValueError for a size (H,W) that cannot be halved as often as the network does."""
    if size[0] % divisor or size[1] % divisor:
        raise ValueError(
            f"images are {size[0]}x{size[1]}; height and width must be divisible by {divisor}: resize or pad them"
        )
