"""Images of any size for a SAM, and its masks back to their size, as the released code does it."""

import jax
import jax.numpy as jnp

from universeg_jax.nn.resample import resize_linear
from universeg_jax.typing import Array, Float, typed


def resized_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Height and width of an image after its longer side has become `longest` pixels; each at least one.

    Raises:
        ValueError: for an image without pixels.
    """
    if min(size) < 1:
        raise ValueError(f"an image of {size[0]}x{size[1]} has no pixels")
    scale = longest / max(size)
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


@typed
def resize_longest(images: Float[Array, "N H W C"], longest: int) -> Float[Array, "N h w C"]:
    """Bilinear with antialiasing; what `SAM.encode` takes."""
    size = resized_size(images.shape[1:3], longest)
    return jax.image.resize(images, (images.shape[0], *size, images.shape[3]), "linear", antialias=True)


@typed
def prompts_to_resized(prompts: Float[Array, "*n _"], size: tuple[int, int], longest: int) -> Float[Array, "*n _"]:
    """Points (…,2) or boxes (…,4), (x, y) in pixels of an image of `size`, in those of the resized image."""
    height, width = resized_size(size, longest)
    scale = jnp.asarray([width / size[1], height / size[0]] * (prompts.shape[-1] // 2), prompts.dtype)
    return prompts * scale


@typed
def logits_to_image(logits: Float[Array, "B M h w"], size: tuple[int, int], longest: int) -> Float[Array, "B M H W"]:
    """Logits of `SAM.decode` at the size of the image: enlarged, padding cut off, resized. The mask is logits > 0.

    Args:
        size: height and width of the image before it was resized.
        longest: `SAMConfig.input_size`.
    """
    height, width = resized_size(size, longest)
    padded = resize_linear(jnp.moveaxis(logits, 1, -1), (longest, longest))
    return jnp.moveaxis(resize_linear(padded[:, :height, :width], size), -1, 1)
