"""What every image encoder of a SAM ends with."""

from typing import NamedTuple

import jax
from flax import nnx

from universeg_jax.nn.conv import conv2d
from universeg_jax.nn.layers import LayerNorm
from universeg_jax.typing import Array


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
