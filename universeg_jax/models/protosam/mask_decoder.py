"""SAM's mask decoder (Kirillov et al., ICCV 2023): from an image embedding and prompts to four masks."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.models.protosam.two_way import TwoWayTransformer
from universeg_jax.nn.activation import gelu
from universeg_jax.nn.layers import LayerNorm, Linear
from universeg_jax.nn.patches import PatchUpscale, interleave
from universeg_jax.typing import Array, Float, typed

MASKS = 4
"""Masks for each prompt: one for a clear prompt, then three for an ambiguous one (whole, part, subpart)."""


class MaskDecoder(nnx.Module):
    """Tokens for the masks and for their quality join those of the prompts and meet the image in a transformer.

    Each mask is the product of a vector, made of its token, with the image's features at four times the resolution.
    """

    def __init__(
        self, features: int, *, depth: int, heads: int, mlp: int, iou_hidden: int, epsilon: float, rngs: nnx.Rngs
    ):
        self.iou_token = nnx.Param(jax.random.normal(rngs.params(), (1, features)))
        self.mask_tokens = nnx.Param(jax.random.normal(rngs.params(), (MASKS, features)))
        self.transformer = TwoWayTransformer(features, depth=depth, heads=heads, mlp=mlp, epsilon=epsilon, rngs=rngs)
        self.upscale = nnx.List(
            [PatchUpscale(features, features // 4, rngs=rngs), PatchUpscale(features // 4, features // 8, rngs=rngs)]
        )
        self.upscale_norm = LayerNorm(features // 4, epsilon=1e-6, rngs=rngs)
        self.mask_heads = nnx.List(
            [MLP((features, features, features, features // 8), rngs=rngs) for _ in range(MASKS)]
        )
        self.iou_head = MLP((features, iou_hidden, iou_hidden, MASKS), rngs=rngs)

    @typed
    def __call__(
        self,
        embedding: Float[Array, "I h w F"],
        grid: Float[Array, "h w F"],
        prompts: Float[Array, "B P F"],
    ) -> tuple[Float[Array, "B 4 H W"], Float[Array, "B 4"]]:
        """Logits of four masks for each prompt, H = 4h, W = 4w, and the IoU each is expected to reach.

        Args:
            embedding: of one image for all prompts, or of one for each; with the mask prompt added.
            grid: position of each pixel.
            prompts: P tokens for each prompt.
        """
        images, height, width, features = embedding.shape
        own = jnp.concatenate([self.iou_token[...], self.mask_tokens[...]]).astype(prompts.dtype)
        own = jnp.broadcast_to(own, (prompts.shape[0], *own.shape))
        tokens, image = self.transformer(
            jnp.concatenate([own, prompts], axis=1),
            embedding.reshape(images, height * width, features),
            grid.reshape(1, height * width, features),
        )
        image = gelu(self.upscale_norm(self.upscale[0](image.reshape(-1, height, width, features))))
        image = gelu(self.upscale[1](image))
        vectors = jnp.stack([head(tokens[:, 1 + i]) for i, head in enumerate(self.mask_heads)], axis=-1)
        logits = interleave(jnp.einsum("bhwijklf,bfm->bhwijklm", image, vectors))
        return jnp.moveaxis(logits, -1, 1), self.iou_head(tokens[:, 0])


class MLP(nnx.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs):
        self.layers = nnx.List([Linear(*pair, rngs=rngs) for pair in pairwise(widths)])

    def __call__(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)
