"""The two-way transformer of SAM's mask decoder: tokens look at the image, and the image looks back."""

import jax
from flax import nnx

from universeg_jax.nn.attention import attend
from universeg_jax.typing import Array, Float, typed


class TwoWayTransformer(nnx.Module):
    """`depth` blocks, and a last look of the tokens at the image. All norms come after what they normalise."""

    def __init__(self, features: int, *, depth: int, heads: int, mlp: int, epsilon: float, rngs: nnx.Rngs):
        options = dict(heads=heads, epsilon=epsilon, rngs=rngs)
        self.blocks = nnx.List([TwoWayBlock(features, mlp=mlp, first=i == 0, **options) for i in range(depth)])
        self.last = Attention(features, features // 2, heads=heads, rngs=rngs)
        self.norm = _norm(features, epsilon, rngs)

    @typed
    def __call__(
        self, tokens: Float[Array, "B T F"], image: Float[Array, "I N F"], grid: Float[Array, "1 N F"]
    ) -> tuple[Float[Array, "B T F"], Float[Array, "B N F"]]:
        """Tokens and image after the transformer.

        Args:
            tokens: of B prompts; their first values are their positions in every block.
            image: features of N pixels, of one image for all prompts or one for each.
            grid: positions of the pixels.
        """
        places = tokens
        for block in self.blocks:
            tokens, image = block(tokens, image, places, grid)
        tokens = tokens + self.last(tokens + places, image + grid, image)
        return self.norm(tokens), image


class TwoWayBlock(nnx.Module):
    """Attention among tokens, from tokens to image, an MLP on tokens, attention from image to tokens."""

    def __init__(self, features: int, *, heads: int, mlp: int, first: bool, epsilon: float, rngs: nnx.Rngs):
        self.among = Attention(features, features, heads=heads, rngs=rngs)
        self.to_image = Attention(features, features // 2, heads=heads, rngs=rngs)
        self.widen = nnx.Linear(features, mlp, rngs=rngs)
        self.narrow = nnx.Linear(mlp, features, rngs=rngs)
        self.to_tokens = Attention(features, features // 2, heads=heads, rngs=rngs)
        self.norms = nnx.List([_norm(features, epsilon, rngs) for _ in range(4)])
        self.first = first

    def __call__(self, tokens: Array, image: Array, places: Array, grid: Array) -> tuple[Array, Array]:
        if self.first:  # the tokens are their positions still: nothing to add them to, and no shortcut
            tokens = self.among(tokens, tokens, tokens)
        else:
            placed = tokens + places
            tokens = tokens + self.among(placed, placed, tokens)
        tokens = self.norms[0](tokens)
        tokens = self.norms[1](tokens + self.to_image(tokens + places, image + grid, image))
        tokens = self.norms[2](tokens + self.narrow(jax.nn.relu(self.widen(tokens))))
        image = self.norms[3](image + self.to_tokens(image + grid, tokens + places, tokens))
        return tokens, image


class Attention(nnx.Module):
    """Multi-head attention in `width` features, which may be fewer than those of its inputs."""

    def __init__(self, features: int, width: int, *, heads: int, rngs: nnx.Rngs):
        self.query, self.key, self.value = (nnx.Linear(features, width, rngs=rngs) for _ in range(3))
        self.out = nnx.Linear(width, features, rngs=rngs)
        self.heads = heads

    @typed
    def __call__(
        self, query: Float[Array, "_q Q F"], key: Float[Array, "_k K F"], value: Float[Array, "_k K F"]
    ) -> Float[Array, "_b Q F"]:
        """Batches are the same, or one where the other has more."""
        q, k, v = (
            project(x).reshape(*x.shape[:2], self.heads, -1)
            for project, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        return self.out(attend(q, k, v))


def _norm(features: int, epsilon: float, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(features, epsilon=epsilon, use_fast_variance=False, rngs=rngs)
