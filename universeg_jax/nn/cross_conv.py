"""The cross-convolution of UniverSeg and the block built on it (Butoi et al., ICCV 2023, section 3.2).

With target features u and support features v_1 … v_S:

    z_i  = act(CrossConv(u, v_i)),   CrossConv(u, v) = K * [u, v] + b     (eq. 1; the released network has no act)
    u'   = A(Conv_t(mean_i z_i))
    v'_i = A(Conv_s(z_i)),           A = LeakyReLU(0.01)                  (eq. 2)

`*` is a 3×3 zero-padded convolution and [ ] concatenates channels. A convolution is linear, so with K split
into K_u and K_v

    CrossConv(u, v_i) = (K_u * u + b) + K_v * v_i

needs its target half once, not S times. Without act the mean moves inside too:

    mean_i z_i = (K_u * u + b) + K_v * mean_i v_i.

`CrossBlock.__call__` is the definition; `in_chunks`, `from_images` and `from_means` are what the network runs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from universeg_jax.nn.conv import LINEAR, RECTIFIED, Conv, conv2d, kaiming_normal
from universeg_jax.nn.support import weighted_mean
from universeg_jax.shapes import Array, Float, typed

NEGATIVE_SLOPE = 0.01  # of the leaky ReLU, PyTorch's default

Activation = Callable[[Array], Array]
PyTree = Any


class CrossConv(nnx.Module):
    """Convolve target features with the features of each support entry.

    Holds the halves of the kernel apart, (3,3,C,F) each, target first in the joint kernel, and the bias (F,).
    """

    def __init__(self, target_features: int, support_features: int, features: int, *, gain: float, rngs: nnx.Rngs):
        kernel = kaiming_normal(rngs, (3, 3, target_features + support_features, features), gain=gain)
        self.kernel_target = nnx.Param(kernel[:, :, :target_features])
        self.kernel_support = nnx.Param(kernel[:, :, target_features:])
        self.bias = nnx.Param(jnp.zeros(features))

    @typed
    def __call__(self, target: Float[Array, "H W Cu"], support: Float[Array, "H W Cv"]) -> Float[Array, "H W F"]:
        """The definition, for one pair: concatenate, convolve. `jax.vmap` it over support entries and targets."""
        kernel = jnp.concatenate([self.kernel_target[...], self.kernel_support[...]], axis=2)
        return conv2d(jnp.concatenate([target, support], axis=-1)[None], kernel)[0] + self.bias[...]

    @typed
    def target_half(self, target: Float[Array, "N H W Cu"]) -> Float[Array, "N H W F"]:
        """K_u * u + b, the same for all support entries."""
        return conv2d(target, self.kernel_target[...]) + self.bias[...].astype(target.dtype)

    @typed
    def support_half(self, support: Float[Array, "N H W Cv"]) -> Float[Array, "N H W F"]:
        """K_v * v_i, the same for all targets."""
        return conv2d(support, self.kernel_support[...])


class CrossBlock(nnx.Module):
    """A cross-convolution and one convolution for each of the two streams.

    `cross_activation` is None in the released network; the paper writes a leaky ReLU.
    """

    def __init__(
        self,
        target_features: int,
        support_features: int,
        cross_features: int,
        features: int,
        *,
        cross_activation: Activation | None = None,
        rngs: nnx.Rngs,
    ):
        self.cross = CrossConv(
            target_features,
            support_features,
            cross_features,
            gain=LINEAR if cross_activation is None else RECTIFIED,
            rngs=rngs,
        )
        self.target = Conv(cross_features, features, kernel_size=3, gain=RECTIFIED, rngs=rngs)
        self.support = Conv(cross_features, features, kernel_size=3, gain=RECTIFIED, rngs=rngs)
        self.cross_activation = cross_activation

    def __call__(
        self, target: Float[Array, "1 H W Cu"], support: Float[Array, "S H W Cv"], weights: Float[Array, " S"]
    ) -> tuple[Float[Array, "1 H W F"], Float[Array, "S H W F"]]:
        """The definition, for one target: its features and those of its support after the block.

        `weights` sum to one (`mean_weights`).
        """
        interaction = jax.vmap(self.cross, in_axes=(None, 0))(target[0], support)
        if self.cross_activation is not None:
            interaction = self.cross_activation(interaction)
        mean = weighted_mean(interaction, weights).astype(interaction.dtype)
        return self.target_output(mean), self.support_output(interaction)

    @typed
    def target_output(self, mean: Float[Array, "N H W F"]) -> Float[Array, "N H W G"]:
        """u' = A(Conv_t(mean_i z_i))."""
        return _activate(self.target(mean))

    @typed
    def support_output(self, interaction: Float[Array, "N H W F"]) -> Float[Array, "N H W G"]:
        """v'_i = A(Conv_s(z_i))."""
        return _activate(self.support(interaction))

    def in_chunks(
        self,
        target: Float[Array, "1 H W Cu"],
        entries: PyTree,
        over_support: Callable,
        *,
        read: Callable[[PyTree], Array] = lambda features: features,
        write: Callable[[Array], tuple[PyTree, PyTree]] | None,
    ) -> tuple[Array, PyTree, PyTree]:
        """The same as `__call__`, with the support in chunks and the target half computed once.

        Args:
            target: input of the target stream.
            entries: what the input of the support stream is made of, with leading axis S.
            over_support: `map_support` with its weights, chunk and axis.
            read: makes the support input from a chunk of `entries`.
            write: splits a chunk of the support output into what is kept of each entry and what is averaged;
                None where nobody needs the output.

        Returns:
            the target output, what was kept with leading axis S, and the means of what was averaged.
        """
        target_half = self.cross.target_half(target)

        def on_chunk(chunk: PyTree) -> tuple[PyTree, PyTree]:
            interaction = target_half + self.cross.support_half(read(chunk))
            if self.cross_activation is not None:
                interaction = self.cross_activation(interaction)
            kept, averaged = ((), ()) if write is None else write(self.support_output(interaction))
            return kept, (interaction, averaged)

        kept, (mean, means) = over_support(on_chunk, entries)
        return self.target_output(mean.astype(target.dtype)), kept, means

    def from_images(
        self,
        target: Float[Array, "1 H W Cu"],
        support: Float[Array, "S H W Cv"],
        mean: Float[Array, "1 H W Cv"],
        over_support: Callable,
        *,
        write: Callable[[Array], tuple[PyTree, PyTree]],
    ) -> tuple[Array, PyTree, PyTree]:
        """The same as `in_chunks` for inputs of few channels, without cross activation.

        With nothing between the two convolutions of a stream they are one 5×5 convolution from few channels
        (`conv_twice`). The bias of the first goes through the second as an image of ones, for the zero padding:

            u'   = A(K_t * (J * [u, 1, mean_i v_i]) + b_t),             J = [K_u, b, K_v]
            v'_i = A(K_s * ([K_u, b] * [u, 1]) + b_s + K_s * (K_v * v_i))

        `mean` is the weighted mean of `support`.
        """
        kernel_target, kernel_support = self.cross.kernel_target[...], self.cross.kernel_support[...]
        bias_as_kernel = jnp.zeros((3, 3, 1, self.cross.bias.shape[0])).at[1, 1, 0].set(self.cross.bias[...])
        of_target = jnp.concatenate([kernel_target, bias_as_kernel], axis=2)
        with_bias = jnp.concatenate([target, jnp.ones_like(target[..., :1])], axis=-1)

        second = self.support.kernel[...]
        target_part = conv_twice(with_bias, of_target, second) + self.support.bias[...].astype(target.dtype)
        kept, means = over_support(
            lambda chunk: write(_activate(target_part + conv_twice(chunk, kernel_support, second))), support
        )
        joint = jnp.concatenate([with_bias, mean.astype(target.dtype)], axis=-1)
        joint_kernel = jnp.concatenate([of_target, kernel_support], axis=2)
        output = conv_twice(joint, joint_kernel, self.target.kernel[...]) + self.target.bias[...].astype(target.dtype)
        return _activate(output), kept, means

    def from_means(self, target: Float[Array, "1 H W Cu"], mean: Float[Array, "1 H W Cv"]) -> Float[Array, "1 H W F"]:
        """The target output alone, without cross activation: u' = A(Conv_t(K_u * u + b + K_v * mean_i v_i)).

        `mean` is the weighted mean of the support input: the cost does not depend on S.
        """
        return self.target_output(self.cross.target_half(target) + self.cross.support_half(mean.astype(target.dtype)))


def _activate(features: Array) -> Array:
    return jax.nn.leaky_relu(features, NEGATIVE_SLOPE)


# The side of an image that rot90 brings to the top when it turns by 0, 1, 2, 3 quarters.
_SIDES = (
    (slice(None), slice(None, 1), slice(None)),  # top
    (slice(None), slice(None), slice(-1, None)),  # right
    (slice(None), slice(-1, None), slice(None)),  # bottom
    (slice(None), slice(None), slice(None, 1)),  # left
)


@typed
def compose(first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]) -> Float[Array, "5 5 C F"]:
    """The kernel whose convolution is that of `first` followed by that of `second`, where nothing is padded."""
    taps = jnp.einsum("abcm,ijmf->ijabcf", first, second)  # a 3×3 kernel for each tap (i,j) of the second
    return sum(jnp.pad(taps[i, j], ((i, 2 - i), (j, 2 - j), (0, 0), (0, 0))) for i in range(3) for j in range(3))


@typed
def conv_twice(
    images: Float[Array, "N H W C"], first: Float[Array, "3 3 C M"], second: Float[Array, "3 3 M F"]
) -> Float[Array, "N H W F"]:
    """second * (first * images), both zero-padded: cheap where C is much smaller than M.

    The 5×5 kernel is right everywhere but in the outermost ring of pixels. There the second convolution reads
    zeros beyond the border, where the composed one reads what the first would have computed outside the image. So
    each side of the ring is computed in two steps, from the three rows of pixels next to it.
    """
    if min(images.shape[1:3]) < 3:
        return conv2d(conv2d(images, first), second)
    result = conv2d(images, compose(first, second))
    for turn, side in enumerate(_SIDES):
        row = _top_row(*(jnp.rot90(x, turn, axes) for x, axes in ((images, (1, 2)), (first, (0, 1)), (second, (0, 1)))))
        result = result.at[side].set(jnp.rot90(row, -turn, (1, 2)))
    return result


def _top_row(images: Array, first: Array, second: Array) -> Array:
    """The first row of second * (first * images), by the definition."""
    two_rows = conv2d(images[:, :3], first, padding=((1, 0), (1, 1)))
    return conv2d(two_rows, second[1:], padding=((0, 0), (1, 1)))  # second[0] would meet padding only
