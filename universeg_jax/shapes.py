"""Notation of shapes, array types and checks of the arrays that users pass.

Notation in every signature and docstring:

    B = batch: targets of one task, or each with its own task
    S = support entries, the labelled examples of a task
    H, W = height and width in pixels
    C = channels, F = features
    K = classes

Arrays are channels-last: target (B,H,W,1), support images and labels (B,S,H,W,1), logits (B,H,W,1).

The annotations `Float[Array, "B H W C"]` cost nothing at run time. The tests check them (tests/conftest.py).
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Int",
    "Shape",
    "Shaped",
    "Size",
    "check_divisible",
    "check_floating",
    "check_images",
    "check_shapes",
]

Array: TypeAlias = jax.Array | np.ndarray
Shape: TypeAlias = tuple[int, ...]
Size: TypeAlias = Any
"""Number of elements: an int, or a symbolic size of `jax.export`."""


def check_images(name: str, images: Array, *, channels: int) -> None:
    """Check a batch of images that a network takes.

    Args:
        name: name of the argument in the message.
        images: array to check, expected as (B,H,W,channels) of floating-point numbers.

    Raises:
        ValueError: the shape or the dtype is wrong.
    """
    if images.ndim != 4 or images.shape[-1] != channels:
        raise ValueError(f"{name} has shape {images.shape}; it must be (B,H,W,{channels})")
    check_floating(name, images)


def check_floating(name: str, array: Array) -> None:
    """Raise a ValueError for an array that does not hold floating-point numbers."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} is {array.dtype}: pass floating-point numbers")


def check_shapes(target: Shape, images: Shape, labels: Shape, mask: Shape | None) -> None:
    """Raise a ValueError for shapes of a target and a support set that do not fit together."""
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
    """Raise a ValueError for a height or width that the network cannot halve as often as it must."""
    if size[0] % divisor or size[1] % divisor:
        raise ValueError(
            f"images are {size[0]}x{size[1]}; height and width must be divisible by {divisor}: resize or pad them"
        )
