"""TinyViT, the image encoder of MobileSAM and LiteMedSAM (Wu et al., ECCV 2022; Zhang et al., arXiv 2306.14289).

It has a stem of convolutions, a stage of inverted residuals, three stages of attention in windows, and SAM's neck:

    stage      MobileSAM, 1024 px    LiteMedSAM, 256 px    made of
    stem       3 -> 64, 256×256      3 -> 64, 256×256      two convolutions: 3×3 of stride 2, or 1×1 of stride 1
    0          64, 256×256           same from here on     inverted residuals
    1          128, 128×128                                attention in windows of 7×7
    2          160, 64×64                                  attention in windows of 14×14
    3          320, 64×64                                  attention in windows of 7×7
    neck       256, 64×64
"""

from dataclasses import dataclass
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from flax import nnx

from universeg_jax.errors import InputError
from universeg_jax.models.sam.image_encoder import Features, Neck
from universeg_jax.nn.attention import attend, from_windows, windows
from universeg_jax.nn.layers import LayerNorm, Linear, NormedConv, NormedDepthwiseConv, gelu
from universeg_jax.shapes import Array, Float
from universeg_jax.util.checks import check_numbers, check_tuple

EPSILON = 1e-5
"""Number added to the variance in the layer norms of the blocks, from the released code."""


@dataclass(frozen=True)
class TinyViTConfig:
    """Architecture of a TinyViT.

    Attributes:
        features: channels of each stage.
        depths: number of blocks of each stage.
        heads: number of attention heads of each stage. The first stage ignores its value.
        windows: side in pixels of the attention windows of each stage. The first stage ignores its value.
        merge_strides: strides of the transitions to the second, third and fourth stage.
        stem_stride: stride of each of the two convolutions of the stem: 2 with a 3×3 kernel, 1 with a 1×1 kernel.
    """

    features: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    windows: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    stem_stride: int = 2

    @property
    def stride(self) -> int:
        """Distance in pixels between neighbouring features of the result."""
        return self.stem_stride**2 * int(np.prod(self.merge_strides))

    def __post_init__(self):
        for name in ("features", "depths", "heads", "windows"):
            check_tuple(self, name, least=1, whole=True)
        check_tuple(self, "merge_strides", least=1, most=2, whole=True)
        check_numbers(self, "stem_stride", least=1, most=2, whole=True)
        stages = len(self.features)
        if not stages == len(self.depths) == len(self.heads) == len(self.windows) == len(self.merge_strides) + 1:
            raise InputError(f"{self}: give depths, heads and windows for each stage, and merge strides between them")
        if any(width % heads for width, heads in zip(self.features[1:], self.heads[1:], strict=True)):
            raise InputError(f"features {self.features} must be divisible by heads {self.heads} in each stage")


class TinyViT(nnx.Module):
    """Encoder of images (N,H,W,3) to features of H/stride × W/stride."""

    def __init__(self, config: TinyViTConfig, features: int, *, rngs: nnx.Rngs):
        first, last = config.features[0], config.features[-1]
        kernel = dict(kernel_size=2 * config.stem_stride - 1, stride=config.stem_stride, rngs=rngs)
        self.stem = nnx.List([NormedConv(3, first // 2, **kernel), NormedConv(first // 2, first, **kernel)])
        stages = [nnx.List([InvertedResidual(first, rngs=rngs) for _ in range(config.depths[0])])]
        for width, depth, heads, window in list(
            zip(config.features, config.depths, config.heads, config.windows, strict=True)
        )[1:]:
            stages.append(nnx.List([WindowBlock(width, heads, window, rngs=rngs) for _ in range(depth)]))
        self.stages = nnx.List(stages)
        self.merges = nnx.List(
            [
                PatchMerging(*widths, stride=stride, rngs=rngs)
                for widths, stride in zip(pairwise(config.features), config.merge_strides, strict=True)
            ]
        )
        self.neck = Neck(last, features, rngs=rngs)

    def __call__(self, images: Float[Array, "N H W 3"]) -> Features:
        """Compute the features of images. H and W must be divisible by the stride."""
        x = self.stem[1](gelu(self.stem[0](images)))
        for block in self.stages[0]:
            x = block(x)
        stages = []  # results of the stages of attention
        for merge, stage in zip(self.merges, self.stages[1:], strict=True):
            x = merge(x)
            for block in stage:
                x = block(x)
            stages.append(x)
        earlier = tuple(_averaged(stage, x.shape[1:3]) for stage in stages[:-1])
        return Features(embedding=self.neck(x), early=x, earlier=earlier)


class InvertedResidual(nnx.Module):
    """Inverted residual on (N,H,W,C): widen fourfold, depthwise convolution, narrow, add the input."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.widen = NormedConv(features, 4 * features, rngs=rngs)
        self.depthwise = NormedDepthwiseConv(4 * features, rngs=rngs)
        self.narrow = NormedConv(4 * features, features, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return gelu(x + self.narrow(gelu(self.depthwise(gelu(self.widen(x))))))


class PatchMerging(nnx.Module):
    """Transition between two stages: (N,H,W,C) -> (N,H/stride,W/stride,F)."""

    def __init__(self, in_features: int, features: int, *, stride: int, rngs: nnx.Rngs):
        self.widen = NormedConv(in_features, features, rngs=rngs)
        self.depthwise = NormedDepthwiseConv(features, stride=stride, rngs=rngs)
        self.mix = NormedConv(features, features, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.mix(gelu(self.depthwise(gelu(self.widen(x)))))


class WindowBlock(nnx.Module):
    """Attention in windows, a depthwise convolution across them, and an MLP, on (N,H,W,C)."""

    def __init__(self, features: int, heads: int, window: int, *, rngs: nnx.Rngs):
        self.attention = WindowAttention(features, heads, window, rngs=rngs)
        self.local = NormedDepthwiseConv(features, rngs=rngs)
        self.norm = LayerNorm(features, epsilon=EPSILON, rngs=rngs)
        self.widen = Linear(features, 4 * features, rngs=rngs)
        self.narrow = Linear(4 * features, features, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.local(x + self.attention(x))
        return x + self.narrow(gelu(self.widen(self.norm(x))))


class WindowAttention(nnx.Module):
    """Layer norm and self-attention in windows, with a learned bias for each distance between two pixels.

    Attributes:
        biases: (heads, window²), the bias of the distance (Δy, Δx) at Δy·window + Δx.
    """

    def __init__(self, features: int, heads: int, window: int, *, rngs: nnx.Rngs):
        self.norm = LayerNorm(features, epsilon=EPSILON, rngs=rngs)
        self.qkv = Linear(features, 3 * features, rngs=rngs)
        self.out = Linear(features, features, rngs=rngs)
        self.biases = nnx.Param(jnp.zeros((heads, window * window)))
        self.heads, self.window = heads, window

    def __call__(self, x: Array) -> Array:
        # The windows hold zeros beyond the border. Norm and projection turn zeros into a constant.
        beyond = self.qkv(self.norm(jnp.zeros_like(x[0, 0, 0])))
        parts = windows(self.qkv(self.norm(x)), self.window, fill=beyond)
        q, k, v = jnp.moveaxis(parts.reshape(*parts.shape[:2], self.heads, 3, -1), 3, 0)
        mixed = attend(q, k, v, bias=self.biases[...][:, _distances(self.window)])
        return self.out(from_windows(mixed, self.window, height=x.shape[1], width=x.shape[2]))


def _averaged(maps: Array, size: tuple[int, int]) -> Array:
    """Average (N,H,W,C) over equal rectangles to the given height and width."""
    (count, height, width, channels), (rows, columns) = maps.shape, size
    return maps.reshape(count, rows, height // rows, columns, width // columns, channels).mean(axis=(2, 4))


def _distances(window: int) -> np.ndarray:
    """Compute Δy·window + Δx of the absolute differences between all pixels of a window: (T,T), T = window²."""
    y, x = np.divmod(np.arange(window * window), window)
    return abs(y[:, None] - y) * window + abs(x[:, None] - x)
