"""DINOv2's patch tokens as the features that ProtoSAM compares."""

import jax
import jax.numpy as jnp

from universeg_jax.models.protosam.checks import check_number
from universeg_jax.models.protosam.dinov2 import DINOv2
from universeg_jax.nn.resample import resize_linear
from universeg_jax.typing import Array, Float

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
SMALLEST_GRID = 32  # features a side, to which smaller maps are enlarged (released code)


class DINOv2Features:
    """A `FeatureExtractor`: images (B,H,W,3) in [0,1] -> (B,h,w,C).

    Args:
        network: whose patch tokens are taken.
        size: images are resized to the largest multiple of a patch up to this many pixels (672, released code). A
            `ProtoSAM` gives images of the size of its SAM: those for LiteMedSAM, of 256 pixels, are enlarged.
        standardise: each image by its own mean and standard deviation, as the released code does with CT and MR slices;
            False takes the colours DINOv2 was trained with.

    Raises:
        InputError: for a size below one patch.
    """

    def __init__(self, network: DINOv2, *, size: int = 672, standardise: bool = False):
        patch = network.config.patch
        check_number("size", size, least=patch, whole=True)
        self.network, self.size, self.standardise = network, size // patch * patch, standardise

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        images = resize_linear(jnp.asarray(images), (self.size, self.size))
        if self.standardise:
            # In float32: the variance of a bright image is lost in bfloat16.
            images = jax.nn.standardize(images.astype(jnp.float32), axis=(1, 2, 3)).astype(images.dtype)
        else:
            mean, deviation = (jnp.asarray(colour, images.dtype) for colour in (IMAGENET_MEAN, IMAGENET_DEVIATION))
            images = (images - mean) / deviation
        patches = self.network(images).patches
        if patches.shape[1] < SMALLEST_GRID:
            patches = resize_linear(patches, (SMALLEST_GRID, SMALLEST_GRID))
        return patches
