"""Prompt encoder of SAM (Kirillov et al., ICCV 2023): points, boxes and masks to embeddings."""

from math import pi

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.nn.layers import Buffer, LayerNorm, PatchConv, gelu
from universeg_jax.shapes import Array, Float, Int

NO_POINT, NEGATIVE, POSITIVE = -1, 0, 1
"""Labels of points: padding of the array, background, foreground."""


class PromptEncoder(nnx.Module):
    """Encoder of points and boxes to tokens, and of a mask to an image of features.

    A position p = (x, y) in [0,1]² becomes [sin, cos] of 2π (2p - 1) G with fixed random frequencies G (2,F/2).
    Positions are always float32: bfloat16 cannot tell the pixels of a large image apart.
    """

    def __init__(self, features: int, mask_features: int, *, rngs: nnx.Rngs):
        def token() -> nnx.Param:
            return nnx.Param(jax.random.normal(rngs.params(), (1, features)))

        self.frequencies = Buffer(jax.random.normal(rngs.params(), (2, features // 2)))
        self.negative, self.positive, self.first_corner, self.second_corner = (token() for _ in range(4))
        self.no_point, self.no_mask = token(), token()
        self.mask_patches = nnx.List(
            [
                PatchConv(1, mask_features // 4, size=2, rngs=rngs),
                PatchConv(mask_features // 4, mask_features, size=2, rngs=rngs),
                PatchConv(mask_features, features, size=1, rngs=rngs),
            ]
        )
        self.mask_norms = nnx.List(
            [LayerNorm(width, epsilon=1e-6, rngs=rngs) for width in (mask_features // 4, mask_features)]
        )

    def positions(self, places: Float[Array, "*n 2"]) -> Float[Array, "*n F"]:
        """Encode places (x, y) in [0,1]² of the padded image."""
        phases = 2 * pi * jnp.matmul(2 * places - 1, self.frequencies[...], precision="highest")
        return jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)

    def grid(self, height: int, width: int) -> Array:
        """Encode the positions of all cells of a feature map: (height,width,F)."""
        y, x = jnp.meshgrid((jnp.arange(height) + 0.5) / height, (jnp.arange(width) + 0.5) / width, indexing="ij")
        return self.positions(jnp.stack([x, y], axis=-1))

    def points(self, points: Float[Array, "B P 2"], labels: Int[Array, "B P"], size: int) -> Float[Array, "B P F"]:
        """Compute tokens of labelled points (x, y) in pixels of a padded image with `size` pixels a side."""
        labels = labels[..., None]
        placed = self.positions((points + 0.5) / size)
        labelled = placed + jnp.where(labels == POSITIVE, self.positive[...], self.negative[...])
        return jnp.where(labels == NO_POINT, self.no_point[...], labelled)

    def boxes(self, boxes: Float[Array, "B 4"], size: int) -> Float[Array, "B 2 F"]:
        """Compute two tokens for each box (x0, y0, x1, y1) in pixels of a padded image with `size` pixels a side."""
        corners = jnp.concatenate([self.first_corner[...], self.second_corner[...]])
        return self.positions((boxes.reshape(-1, 2, 2) + 0.5) / size) + corners

    def mask(self, mask: Float[Array, "B H W 1"]) -> Float[Array, "B h w F"]:
        """Encode the logits of a mask, to be added to the image embedding: h = H/4, w = W/4."""
        for patches, norm in zip(self.mask_patches[:-1], self.mask_norms, strict=True):
            mask = gelu(norm(patches(mask)))
        return self.mask_patches[-1](mask)
