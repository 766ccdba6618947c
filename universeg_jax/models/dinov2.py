"""DINOv2 (Oquab et al., 2023): a vision transformer whose patch tokens serve as image features.

It has four sizes, each with or without registers: extra tokens that take up global information, so that the patch
tokens stay local (Darcet et al., 2023). Positions are learned on a grid of 37×37 patches and interpolated to others.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.backend import compiled
from universeg_jax.errors import InputError
from universeg_jax.nn.attention import attend
from universeg_jax.nn.layers import LayerNorm, Linear, PatchConv, gelu
from universeg_jax.nn.resample import resize_cubic
from universeg_jax.shapes import Array, check_images
from universeg_jax.util.checks import check_numbers

EPSILON = 1e-6
"""Number added to the variance in layer norms, from the released code."""


@dataclass(frozen=True)
class DINOv2Config:
    """Architecture of a DINOv2.

    Attributes:
        features: number of features of each token.
        depth: number of blocks.
        heads: number of attention heads.
        registers: number of register tokens. With registers, positions are interpolated with antialiasing.
        gated: MLPs with SwiGLU rather than GELU, as in the largest network.
        patch: side of a patch in pixels.
        grid: side in patches of the square grid of learned positions.
    """

    features: int = 1024
    depth: int = 24
    heads: int = 16
    registers: int = 0
    gated: bool = False
    patch: int = 14
    grid: int = 37

    @classmethod
    def vits14(cls, *, registers: int = 0) -> "DINOv2Config":
        """Create the configuration of the small network."""
        return cls(features=384, depth=12, heads=6, registers=registers)

    @classmethod
    def vitb14(cls, *, registers: int = 0) -> "DINOv2Config":
        """Create the configuration of the base network."""
        return cls(features=768, depth=12, heads=12, registers=registers)

    @classmethod
    def vitl14(cls, *, registers: int = 0) -> "DINOv2Config":
        """Create the configuration of the large network."""
        return cls(registers=registers)

    @classmethod
    def vitg14(cls, *, registers: int = 0) -> "DINOv2Config":
        """Create the configuration of the giant network."""
        return cls(features=1536, depth=40, heads=24, registers=registers, gated=True)

    @property
    def hidden(self) -> int:
        """Number of features inside an MLP, rounded as in the released code if gated."""
        return (4 * self.features * 2 // 3 + 7) // 8 * 8 if self.gated else 4 * self.features

    def __post_init__(self):
        check_numbers(self, "features", "depth", "heads", "patch", "grid", least=1, whole=True)
        check_numbers(self, "registers", least=0, whole=True)
        if self.features % self.heads:
            raise InputError(f"features={self.features} must be divisible by heads={self.heads}")


class Tokens(NamedTuple):
    """Output of a DINOv2, all after its last layer norm.

    Attributes:
        patches: (B,h,w,C), one vector for each patch.
        image: (B,C), the class token.
        layers: (B,h,w,C) each, the patches after the requested blocks.
    """

    patches: Array
    image: Array
    layers: tuple[Array, ...]


class DINOv2(nnx.Module):
    """DINOv2 network.

    A call compiles itself once for each combination of shapes. It computes in the dtype of the images, float32 or
    bfloat16; parameters are float32.
    """

    def __init__(self, config: DINOv2Config, *, rngs: nnx.Rngs):
        def tokens(count: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, count, config.features)))

        self.config = config
        self.patches = PatchConv(3, config.features, size=config.patch, rngs=rngs)
        self.class_token = tokens(1)
        self.positions = tokens(1 + config.grid**2)
        self.registers = tokens(config.registers) if config.registers else None
        self.blocks = nnx.List([DINOv2Block(config, rngs=rngs) for _ in range(config.depth)])
        self.norm = LayerNorm(config.features, epsilon=EPSILON, rngs=rngs)

    @compiled(static=("layers",))
    def __call__(self, images: Array, *, layers: tuple[int, ...] = ()) -> Tokens:
        """Compute the tokens of images.

        Args:
            images: (B,H,W,3), standardised intensities. H and W must be multiples of the patch size.
            layers: blocks whose patch tokens are returned as well, counted from 0, or from the end if negative.

        Raises:
            ValueError: images of a wrong shape, size or dtype, or layers that do not exist.
        """
        check_images("images", images, channels=3)
        config = self.config
        batch, height, width, _ = images.shape
        if height % config.patch or width % config.patch or not height or not width:
            raise ValueError(
                f"images are {height}x{width}; height and width must be multiples of {config.patch}: resize them"
            )
        if not all(-config.depth <= layer < config.depth for layer in layers):
            raise ValueError(f"layers={layers}: the network has {config.depth} blocks, counted from 0")
        x = self.patches(images)
        rows, columns = x.shape[1:3]
        class_position, grid = self._positions(rows, columns)
        first = (self.class_token[...] + class_position).astype(x.dtype)
        x = (x + grid.astype(x.dtype)).reshape(batch, rows * columns, config.features)
        extra = [first] if self.registers is None else [first, self.registers[...].astype(x.dtype)]
        x = jnp.concatenate([*(jnp.broadcast_to(e, (batch, *e.shape[1:])) for e in extra), x], axis=1)

        wanted, kept = {layer % config.depth for layer in layers}, {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in wanted:
                kept[i] = self._patches(self.norm(x), rows, columns)
        x = self.norm(x)
        return Tokens(self._patches(x, rows, columns), x[:, 0], tuple(kept[layer % config.depth] for layer in layers))

    def _patches(self, x: Array, rows: int, columns: int) -> Array:
        return x[:, 1 + self.config.registers :].reshape(x.shape[0], rows, columns, -1)

    def _positions(self, rows: int, columns: int) -> tuple[Array, Array]:
        """Compute the positions of the class token (1,1,C) and of the patches (1,rows,columns,C)."""
        side = self.config.grid
        positions = self.positions[...]
        grid = positions[:, 1:].reshape(1, side, side, -1)
        if (rows, columns) == (side, side):
            return positions[:, :1], grid
        if self.config.registers:
            shape = (1, rows, columns, grid.shape[-1])
            return positions[:, :1], jax.image.resize(grid, shape, "cubic", antialias=True)
        # The released code of the networks without registers adds 0.1 to the numbers of patches.
        scale = ((rows + 0.1) / side, (columns + 0.1) / side)
        return positions[:, :1], resize_cubic(grid, (rows, columns), scale=scale)


class DINOv2Block(nnx.Module):
    """Attention, then an MLP. Each has a norm before it, a scale for each feature after it, and a shortcut."""

    def __init__(self, config: DINOv2Config, *, rngs: nnx.Rngs):
        width = config.features
        self.attention_norm = LayerNorm(width, epsilon=EPSILON, rngs=rngs)
        self.qkv = Linear(width, 3 * width, rngs=rngs)
        self.out = Linear(width, width, rngs=rngs)
        self.attention_scale = nnx.Param(jnp.ones(width))
        self.mlp_norm = LayerNorm(width, epsilon=EPSILON, rngs=rngs)
        self.widen = Linear(width, 2 * config.hidden if config.gated else config.hidden, rngs=rngs)
        self.narrow = Linear(config.hidden, width, rngs=rngs)
        self.mlp_scale = nnx.Param(jnp.ones(width))
        self.heads, self.gated = config.heads, config.gated

    def __call__(self, x: Array) -> Array:
        x = x + self.attention_scale[...].astype(x.dtype) * self._attention(self.attention_norm(x))
        return x + self.mlp_scale[...].astype(x.dtype) * self._mlp(self.mlp_norm(x))

    def _attention(self, x: Array) -> Array:
        q, k, v = jnp.moveaxis(self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1), 2, 0)
        return self.out(attend(q, k, v))

    def _mlp(self, x: Array) -> Array:
        x = self.widen(x)
        if self.gated:
            gate, x = jnp.split(x, 2, axis=-1)
            return self.narrow(jax.nn.silu(gate) * x)
        return self.narrow(gelu(x))
