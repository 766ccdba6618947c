"""SAM's image encoder: a vision transformer with windows (Kirillov et al., ICCV 2023; Li et al., ECCV 2022, ViTDet)."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from universeg_jax.errors import InputError
from universeg_jax.nn.attention import attend, from_windows, windows
from universeg_jax.nn.conv import conv2d
from universeg_jax.nn.layers import LayerNorm, Linear, PatchConv, gelu
from universeg_jax.shapes import Array, Float, typed
from universeg_jax.util.checks import check_numbers, check_tuple


class Features(NamedTuple):
    """What an image encoder makes of images.

    Attributes:
        embedding: (B,h,w,F), for the mask decoder.
        early: (B,h,w,C), what the neck made it from: the better descriptors of what is where.
        earlier: (B,h,w,·) each, the results of the stages before that, averaged to the same grid, the first stage
            first; empty for encoders without stages.
    """

    embedding: Array
    early: Array
    earlier: tuple[Array, ...] = ()


class Neck(nnx.Module):
    """A 1×1 and a 3×3 convolution, each with a layer norm behind it: (N,h,w,C) -> (N,h,w,F)."""

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        def kernel(size: int, channels: int) -> nnx.Param:
            shape = (size, size, channels, features)
            return nnx.Param(jax.random.normal(rngs.params(), shape) / (size * channels**0.5))

        def norm() -> LayerNorm:
            return LayerNorm(features, epsilon=1e-6, rngs=rngs)

        self.narrow, self.narrow_norm = kernel(1, in_features), norm()
        self.mix, self.mix_norm = kernel(3, features), norm()

    def __call__(self, x: Array) -> Array:
        x = self.narrow_norm(x @ self.narrow[...][0, 0].astype(x.dtype))
        return self.mix_norm(conv2d(x, self.mix[...]))


EPSILON = 1e-6  # of the layer norms in the blocks


@dataclass(frozen=True)
class ImageEncoderConfig:
    """What an image encoder is made of.

    Attributes:
        features: of each token.
        depth: number of blocks.
        heads: of the attention.
        global_blocks: the blocks, counted from 0, whose attention spans the image; that of the others, windows.
        window: side of a window in tokens.
        patch: side of a token in pixels.
        mlp: features inside the MLP of a block, as a multiple of `features`.
    """

    features: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14
    patch: int = 16
    mlp: int = 4

    @property
    def stride(self) -> int:
        """Pixels between neighbouring features of the result."""
        return self.patch

    def __post_init__(self):
        check_numbers(self, "features", "depth", "heads", "window", "patch", "mlp", least=1, whole=True)
        check_tuple(self, "global_blocks", least=0, most=self.depth - 1, whole=True)
        if self.features % self.heads:
            raise InputError(f"features={self.features} must be divisible by heads={self.heads}")


class ImageEncoder(nnx.Module):
    """Images (N,H,W,3) to features of H/patch × W/patch, for images of `grid`·patch pixels."""

    def __init__(self, config: ImageEncoderConfig, grid: int, features: int, *, rngs: nnx.Rngs):
        self.patches = PatchConv(3, config.features, size=config.patch, rngs=rngs)
        self.positions = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, grid, grid, config.features)))
        self.blocks = nnx.List(
            [
                ImageEncoderBlock(config, None if i in config.global_blocks else config.window, grid, rngs=rngs)
                for i in range(config.depth)
            ]
        )
        self.neck = Neck(config.features, features, rngs=rngs)

    @typed
    def __call__(self, images: Float[Array, "N H W 3"]) -> Features:
        x = self.patches(images) + self.positions[...].astype(images.dtype)
        for block in self.blocks:
            x = block(x)
        return Features(embedding=self.neck(x), early=x)


class ImageEncoderBlock(nnx.Module):
    """Attention and an MLP, each with a norm before and a shortcut around it: (N,h,w,C) -> the same."""

    def __init__(self, config: ImageEncoderConfig, window: int | None, grid: int, *, rngs: nnx.Rngs):
        def norm() -> LayerNorm:
            return LayerNorm(config.features, epsilon=EPSILON, rngs=rngs)

        self.attention_norm, self.mlp_norm = norm(), norm()
        self.attention = RelativeAttention(config.features, config.heads, window or grid, rngs=rngs)
        self.widen = Linear(config.features, config.mlp * config.features, rngs=rngs)
        self.narrow = Linear(config.mlp * config.features, config.features, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.attention(self.attention_norm(x))
        return x + self.narrow(gelu(self.widen(self.mlp_norm(x))))


class RelativeAttention(nnx.Module):
    """Self-attention in windows of `side`² tokens, with a bias q·r for the distances r between rows and columns.

    Holds one vector for each distance from -(side - 1) to side - 1: rows and columns (2·side - 1, D).
    """

    def __init__(self, features: int, heads: int, side: int, *, rngs: nnx.Rngs):
        self.qkv = Linear(features, 3 * features, rngs=rngs)
        self.out = Linear(features, features, rngs=rngs)
        self.rows = nnx.Param(jnp.zeros((2 * side - 1, features // heads)))
        self.columns = nnx.Param(jnp.zeros((2 * side - 1, features // heads)))
        self.heads, self.side = heads, side

    def __call__(self, x: Array) -> Array:
        # Beyond the border the windows hold zeros, which the projection makes its bias.
        parts = windows(self.qkv(x), self.side, fill=self.qkv.bias[...])
        q, k, v = jnp.moveaxis(parts.reshape(*parts.shape[:2], 3, self.heads, -1), 2, 0)
        mixed = attend(q, k, v, bias=self._distance_bias)
        return self.out(from_windows(mixed, self.side, height=x.shape[1], width=x.shape[2]))

    def _distance_bias(self, query: Array) -> Array:
        """(M,N,T,T) for queries (M,T,N,D): q·r of the rows between two tokens, plus that of the columns."""
        side = self.side
        distance = np.arange(side)[:, None] - np.arange(side) + side - 1
        rows, columns = (r[...][distance].astype(query.dtype) for r in (self.rows, self.columns))
        query = query.reshape(-1, side, side, *query.shape[2:])
        by_row = jnp.einsum("myxnd,ykd->mnyxk", query, rows)[..., :, None]
        by_column = jnp.einsum("myxnd,xkd->mnyxk", query, columns)[..., None, :]
        return (by_row + by_column).reshape(*by_row.shape[:2], side * side, side * side)
