"""Prompt encoder and mask decoder of SAM (Kirillov et al., ICCV 2023): from prompts and an image embedding to masks."""

from collections.abc import Sequence
from itertools import pairwise
from math import pi

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.nn.attention import attend, softmax
from universeg_jax.nn.layers import Buffer, LayerNorm, Linear, PatchConv, PatchUpscale, gelu, interleave
from universeg_jax.shapes import Array, Float, Int

NO_POINT, NEGATIVE, POSITIVE = -1, 0, 1
"""Labels of points: padding of the array, background, foreground."""


class PromptEncoder(nnx.Module):
    """Encoder of points and boxes to tokens, and of a mask to an image of features.

    A position p = (x, y) in [0,1]² becomes [sin, cos] of 2π (2p - 1) G with fixed random frequencies G (2,F/2).
    Positions are always float32: bfloat16 cannot distinguish the pixels of a large image.
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


class TwoWayTransformer(nnx.Module):
    """Transformer of `depth` blocks and a last attention from the tokens to the image. Norms come after each part."""

    def __init__(self, features: int, *, depth: int, heads: int, mlp: int, epsilon: float, rngs: nnx.Rngs):
        options = dict(heads=heads, epsilon=epsilon, rngs=rngs)
        self.blocks = nnx.List([TwoWayBlock(features, mlp=mlp, first=i == 0, **options) for i in range(depth)])
        self.last = TwoWayAttention(features, features // 2, heads=heads, rngs=rngs)
        self.norm = _norm(features, epsilon, rngs)

    def __call__(
        self, tokens: Float[Array, "B T F"], image: Float[Array, "I N F"], grid: Float[Array, "1 N F"]
    ) -> tuple[Float[Array, "B T F"], Float[Array, "B N F"]]:
        """Compute tokens and image after the transformer.

        Args:
            tokens: (B,T,F), tokens of B prompts. They also serve as positions in each block.
            image: (I,N,F), features of N pixels: I = B images, or one image for all prompts.
            grid: (1,N,F), positions of the pixels.
        """
        places = tokens
        for block in self.blocks:
            tokens, image = block(tokens, image, places, grid)
        tokens = tokens + self.last.of_few(tokens + places, image + grid, image)
        return self.norm(tokens), image


class TwoWayBlock(nnx.Module):
    """Attention among tokens, attention from tokens to image, an MLP on tokens, attention from image to tokens."""

    def __init__(self, features: int, *, heads: int, mlp: int, first: bool, epsilon: float, rngs: nnx.Rngs):
        self.among = TwoWayAttention(features, features, heads=heads, rngs=rngs)
        self.to_image = TwoWayAttention(features, features // 2, heads=heads, rngs=rngs)
        self.widen = Linear(features, mlp, rngs=rngs)
        self.narrow = Linear(mlp, features, rngs=rngs)
        self.to_tokens = TwoWayAttention(features, features // 2, heads=heads, rngs=rngs)
        self.norms = nnx.List([_norm(features, epsilon, rngs) for _ in range(4)])
        self.first = first

    def __call__(self, tokens: Array, image: Array, places: Array, grid: Array) -> tuple[Array, Array]:
        if self.first:  # tokens still equal their positions: no addition and no shortcut
            tokens = self.among(tokens, tokens, tokens)
        else:
            placed = tokens + places
            tokens = tokens + self.among(placed, placed, tokens)
        tokens = self.norms[0](tokens)
        tokens = self.norms[1](tokens + self.to_image.of_few(tokens + places, image + grid, image))
        tokens = self.norms[2](tokens + self.narrow(jax.nn.relu(self.widen(tokens))))
        image = self.norms[3](image + self.to_tokens.of_many(image + grid, tokens + places, tokens))
        return tokens, image


class TwoWayAttention(nnx.Module):
    """Multi-head attention in `width` features, which may be fewer than the features F of its inputs.

    There are thousands of pixels and a few tokens, so projecting the pixels takes nearly all the work. Another order of
    the products projects the tokens instead, with the same result (`of_few`, `of_many`).
    """

    def __init__(self, features: int, width: int, *, heads: int, rngs: nnx.Rngs):
        self.query, self.key, self.value = (Linear(features, width, rngs=rngs) for _ in range(3))
        self.out = Linear(width, features, rngs=rngs)
        self.heads, self.features, self.width = heads, features, width

    def __call__(
        self, query: Float[Array, "_q Q F"], key: Float[Array, "_k K F"], value: Float[Array, "_k K F"]
    ) -> Float[Array, "_b Q F"]:
        """Compute the definition. A batch of one serves all entries of the other batch."""
        q, k, v = (self._heads(*given) for given in ((self.query, query), (self.key, key), (self.value, value)))
        return self.out(attend(q, k, v))

    def of_few(
        self, query: Float[Array, "B T F"], key: Float[Array, "I K F"], value: Float[Array, "I K F"]
    ) -> Float[Array, "B T F"]:
        """Compute the same, faster for few queries of many keys.

        q (W k + b) = (Wᵀ q) k + q b. The term q b is the same for all keys, so the softmax does not depend on it. The
        mean of projected values is the projected mean of values.
        """
        batch, tokens, _ = query.shape
        rows = batch * tokens
        if rows * self.heads * self.features >= key.shape[0] * self.features * self.width + rows * self.width:
            return self(query, key, value)
        q = self._heads(self.query, query) * (self.width // self.heads) ** -0.5
        q = jnp.einsum("btnd,fnd->btnf", q, self._kernel(self.key, q.dtype)).reshape(batch, -1, self.features)
        weights = softmax(_shared_matmul(q, key.swapaxes(1, 2)))
        mean = _shared_matmul(weights, value).reshape(batch, tokens, self.heads, -1)
        mixed = jnp.einsum("btnf,fnd->btnd", mean, self._kernel(self.value, mean.dtype)).reshape(batch, tokens, -1)
        return self.out(mixed + self.value.bias[...].astype(mixed.dtype))

    def of_many(
        self, query: Float[Array, "I Q F"], key: Float[Array, "B T F"], value: Float[Array, "B T F"]
    ) -> Float[Array, "B Q F"]:
        """Compute the same, faster for many queries of few keys.

        (W q + b) k = q (Wᵀ k) + b k, and the output projection is applied to the values before their mean.
        """
        batch, tokens, _ = key.shape
        if 2 * tokens * self.heads * self.features >= (self.features + 2 * tokens) * self.width + (
            query.shape[0] * self.features * self.width // batch
        ):
            return self(query, key, value)
        k, v = self._heads(self.key, key) * (self.width // self.heads) ** -0.5, self._heads(self.value, value)
        bias = self.query.bias[...].astype(k.dtype).reshape(self.heads, -1)
        folded = jnp.einsum("btnd,fnd->bfnt", k, self._kernel(self.query, k.dtype)).reshape(batch, self.features, -1)
        logits = query @ folded if query.shape[0] == batch else jnp.einsum("qf,bfm->bqm", query[0], folded)
        logits = logits.reshape(batch, -1, self.heads, tokens) + jnp.einsum("btnd,nd->bnt", k, bias)[:, None]
        weights = softmax(logits).reshape(batch, -1, self.heads * tokens)
        out = self.out.kernel[...].astype(v.dtype).reshape(self.heads, -1, self.features)
        values = jnp.einsum("btnd,ndf->bntf", v, out).reshape(batch, -1, self.features)
        return weights @ values + self.out.bias[...].astype(v.dtype)

    def _heads(self, project: Linear, x: Array) -> Array:
        """Project (B,T,F) and split it into heads (B,T,N,D)."""
        return project(x).reshape(*x.shape[:2], self.heads, -1)

    def _kernel(self, project: Linear, dtype: jnp.dtype) -> Array:
        """Split the kernel of a projection into heads (F,N,D)."""
        return project.kernel[...].astype(dtype).reshape(self.features, self.heads, -1)


def _shared_matmul(rows: Array, matrix: Array) -> Array:
    """Multiply (B,R,K) by (I,K,M), I = B, or by one matrix for all, I = 1."""
    if matrix.shape[0] == rows.shape[0]:
        return rows @ matrix
    return (rows.reshape(-1, rows.shape[-1]) @ matrix[0]).reshape(*rows.shape[:2], -1)


def _norm(features: int, epsilon: float, rngs: nnx.Rngs) -> LayerNorm:
    return LayerNorm(features, epsilon=epsilon, rngs=rngs)


MASKS = 4
"""Number of masks for each prompt: one for a clear prompt, then three for an ambiguous one (whole, part, subpart)."""


class MaskDecoder(nnx.Module):
    """Decoder of four masks and their expected quality.

    A transformer relates the tokens of the masks, of their quality and of the prompts to the image. Each mask is the
    product of a vector from its token with the image features at four times the resolution.
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

    def __call__(
        self,
        embedding: Float[Array, "I h w F"],
        grid: Float[Array, "h w F"],
        prompts: Float[Array, "B P F"],
    ) -> tuple[Float[Array, "B 4 H W"], Float[Array, "B 4"]]:
        """Compute the logits of four masks for each prompt, H = 4h, W = 4w, and their expected IoU.

        Args:
            embedding: embedding of one image for all prompts, or of one image each, with the mask prompt added.
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
    """Linear layers of the given widths with ReLU between them."""

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs):
        self.layers = nnx.List([Linear(*pair, rngs=rngs) for pair in pairwise(widths)])

    def __call__(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)
