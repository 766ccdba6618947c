"""Image encoder of SAM: a vision transformer with windows (Kirillov et al., ICCV 2023; Li et al., ECCV 2022)."""

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
from universeg_jax.shapes import Array, Float
from universeg_jax.util.checks import check_numbers, check_tuple


class Features(NamedTuple):
    """Output of an image encoder.

    Attributes:
        embedding: (B,h,w,F), input of the mask decoder.
        early: (B,h,w,C), input of the neck. It describes local structure better than the embedding.
        earlier: (B,h,w,·) each, results of the earlier stages averaged to the same grid, in order of the stages.
            Empty for encoders without stages.
    """

    embedding: Array
    early: Array
    earlier: tuple[Array, ...] = ()


class Neck(nnx.Module):
    """A 1×1 and a 3×3 convolution, each with a layer norm after it: (N,h,w,C) -> (N,h,w,F)."""

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


EPSILON = 1e-6
"""Number added to the variance in the layer norms of the blocks, from the released code."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Architecture of an image encoder.

    Attributes:
        features: number of features of each token.
        depth: number of blocks.
        heads: number of attention heads.
        global_blocks: blocks with attention over the whole image, counted from 0. The others attend in windows.
        window: side of a window in tokens.
        patch: side of a token in pixels.
        mlp: width of the MLPs as a multiple of `features`.
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
        """Distance in pixels between neighbouring features of the result."""
        return self.patch

    def __post_init__(self):
        check_numbers(self, "features", "depth", "heads", "window", "patch", "mlp", least=1, whole=True)
        check_tuple(self, "global_blocks", least=0, most=self.depth - 1, whole=True)
        if self.features % self.heads:
            raise InputError(f"features={self.features} must be divisible by heads={self.heads}")


class ImageEncoder(nnx.Module):
    """Encoder of images (N,H,W,3) with H = W = grid·patch pixels.

    Args:
        config: its architecture.
        grid: side of the image in tokens.
        features: channels F of the embedding.
        rngs: source of the initial weights.
    """

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

    def __call__(self, images: Float[Array, "N H W 3"]) -> Features:
        """Compute the features of images."""
        x = self.patches(images) + self.positions[...].astype(images.dtype)
        for block in self.blocks:
            x = block(x)
        return Features(embedding=self.neck(x), early=x)


class ImageEncoderBlock(nnx.Module):
    """Attention, then an MLP, on (N,h,w,C). Each has a norm before it and a shortcut around it."""

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
    """Self-attention in windows of `side`² tokens, with a bias from the distance between two tokens.

    The bias of a query q is q·r for the distance in rows plus q·r for the distance in columns.

    Attributes:
        rows, columns: (2·side - 1, D), one vector r for each distance from -(side - 1) to side - 1.
    """

    def __init__(self, features: int, heads: int, side: int, *, rngs: nnx.Rngs):
        self.qkv = Linear(features, 3 * features, rngs=rngs)
        self.out = Linear(features, features, rngs=rngs)
        self.rows = nnx.Param(jnp.zeros((2 * side - 1, features // heads)))
        self.columns = nnx.Param(jnp.zeros((2 * side - 1, features // heads)))
        self.heads, self.side = heads, side

    def __call__(self, x: Array) -> Array:
        # The windows hold zeros beyond the border. The projection turns zeros into its bias.
        parts = windows(self.qkv(x), self.side, fill=self.qkv.bias[...])
        q, k, v = jnp.moveaxis(parts.reshape(*parts.shape[:2], 3, self.heads, -1), 2, 0)
        mixed = attend(q, k, v, bias=self._distance_bias)
        return self.out(from_windows(mixed, self.side, height=x.shape[1], width=x.shape[2]))

    def _distance_bias(self, query: Array) -> Array:
        """Compute the bias (M,N,T,T) of queries (M,T,N,D)."""
        side = self.side
        distance = np.arange(side)[:, None] - np.arange(side) + side - 1
        rows, columns = (r[...][distance].astype(query.dtype) for r in (self.rows, self.columns))
        query = query.reshape(-1, side, side, *query.shape[2:])
        by_row = jnp.einsum("myxnd,ykd->mnyxk", query, rows)[..., :, None]
        by_column = jnp.einsum("myxnd,xkd->mnyxk", query, columns)[..., None, :]
        return (by_row + by_column).reshape(*by_row.shape[:2], side * side, side * side)
