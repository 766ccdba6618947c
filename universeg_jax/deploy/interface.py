"""What an exported network takes: one task's support set and images to segment.

    target          (B,H,W,1)  images, each min-max normalised to [0,1]
    support_images  (S,H,W,1)  the same
    support_labels  (S,H,W,1)  in [0,1]
    support_mask    (S,)       weights of the entries in means over the support: 1 counts, 0 is absent

All are float32. B and S are free, H = W is fixed when exporting. The result is logits (B,H,W,1).
"""

import jax
import jax.numpy as jnp
from jax import export

from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.typing import Array

INPUTS = ("target", "support_images", "support_labels", "support_mask")
OUTPUT = "logits"


def input_shapes(size: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The inputs in the order of INPUTS, with symbolic B and S, for images of `size` pixels a side."""
    batch, support = export.symbolic_shape("B, S")
    shapes = (batch, size, size, 1), (support, size, size, 1), (support, size, size, 1), (support,)
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)


def logits_of(
    model: UniverSeg, target: Array, images: Array, labels: Array, mask: Array, *, chunk: int, targets_at_once: int
) -> Array:
    """The model on these inputs. chunk and targets_at_once may be symbolic sizes; the model's own choices may not."""
    support = images[None], labels[None], mask[None]
    return model(target, *support, chunk=chunk, targets_at_once=targets_at_once)


def check_size(model: UniverSeg, size: int) -> None:
    """Refuse a side length that the network cannot halve as often as it does.

    Raises:
        InputError: naming the nearest that it can.
    """
    divisor = 2 ** (len(model.encoder) - 1)
    if size < divisor or size % divisor:
        nearest = max(divisor, round(size / divisor) * divisor)
        raise InputError(f"size is {size}; height and width must be divisible by {divisor}: {nearest} would do")
