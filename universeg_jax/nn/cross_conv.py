"""Cross-convolution of UniverSeg and the block built on it (Butoi et al., ICCV 2023, section 3.2).

With target features u and support features v_1 … v_S:

    z_i  = act(CrossConv(u, v_i)),   CrossConv(u, v) = K * [u, v] + b     (eq. 1; the released network has no act)
    u'   = A(Conv_t(mean_i z_i))
    v'_i = A(Conv_s(z_i)),           A = LeakyReLU(0.01)                  (eq. 2)

`*` is a 3×3 zero-padded convolution and [ ] concatenates channels. Split the kernel K into K_u and K_v. A
convolution is linear, so its target half is needed once, not S times:

    CrossConv(u, v_i) = (K_u * u + b) + K_v * v_i

Without act the mean moves inside the convolution as well:

    mean_i z_i = (K_u * u + b) + K_v * mean_i v_i.

`CrossBlock.__call__` is the definition. The network runs `in_chunks`, `from_images` and `from_means`.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from universeg_jax import backend
from universeg_jax.nn.conv import LINEAR, RECTIFIED, Conv, conv2d, kaiming_normal
from universeg_jax.nn.conv_twice import conv_twice, conv_twice_pixels, unfold
from universeg_jax.nn.lanes import block_diagonal
from universeg_jax.nn.resample import max_pool
from universeg_jax.nn.support import weighted_mean
from universeg_jax.shapes import Array, Float

NEGATIVE_SLOPE = 0.01
"""Slope of the leaky ReLU for negative inputs, PyTorch's default."""

Activation = Callable[[Array], Array]
PyTree = Any


class CrossConv(nnx.Module):
    """Convolution of target features concatenated with the features of a support entry.

    Attributes:
        kernel_target: (3,3,Cu,F), first part of the joint kernel.
        kernel_support: (3,3,Cv,F), second part of the joint kernel.
        bias: (F,).
    """

    def __init__(self, target_features: int, support_features: int, features: int, *, gain: float, rngs: nnx.Rngs):
        kernel = kaiming_normal(rngs, (3, 3, target_features + support_features, features), gain=gain)
        self.kernel_target = nnx.Param(kernel[:, :, :target_features])
        self.kernel_support = nnx.Param(kernel[:, :, target_features:])
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, target: Float[Array, "H W Cu"], support: Float[Array, "H W Cv"]) -> Float[Array, "H W F"]:
        """Compute the definition for one pair: concatenate and convolve.

        Use `jax.vmap` for several support entries or targets.
        """
        kernel = jnp.concatenate([self.kernel_target[...], self.kernel_support[...]], axis=2)
        return conv2d(jnp.concatenate([target, support], axis=-1)[None], kernel)[0] + self.bias[...]

    def target_half(self, target: Float[Array, "N H W Cu"]) -> Float[Array, "N H W F"]:
        """Compute K_u * u + b, which all support entries share."""
        return conv2d(target, self.kernel_target[...]) + self.bias[...].astype(target.dtype)

    def support_half(self, *parts: Float[Array, "N H W _c"]) -> Float[Array, "N H W _f"]:
        """Compute K_v * v_i, which all targets share.

        Args:
            parts: arrays that together hold the channels of the support stream, in this order. Each array may hold L
                entries side by side (`nn/lanes.py`).

        Returns:
            (N,H,W,L·F).
        """
        kernel = self.kernel_support[...]
        lanes = sum(part.shape[-1] for part in parts) // kernel.shape[2]
        if lanes > 1:
            ends = np.cumsum([part.shape[-1] // lanes for part in parts])
            of_parts = jnp.split(kernel, ends[:-1], axis=2)
            kernel = jnp.concatenate([block_diagonal(part, lanes) for part in of_parts], axis=2)
        return conv2d(jnp.concatenate(parts, axis=-1), kernel)


class CrossBlock(nnx.Module):
    """Cross-convolution, then one convolution for each of the two streams.

    Args:
        target_features, support_features: channels Cu and Cv of the two inputs.
        cross_features: channels after the cross-convolution.
        features: channels of the two outputs.
        cross_activation: function after the cross-convolution. None as in the released network; the paper has a
            leaky ReLU.
        rngs: source of the initial weights.
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
        """Compute the definition for one target.

        Args:
            target: features of the target.
            support: features of its support entries.
            weights: weights of the mean over the entries, with sum one (`mean_weights`).

        Returns:
            Features of the target and of the support entries after the block.
        """
        interaction = jax.vmap(self.cross, in_axes=(None, 0))(target[0], support)
        if self.cross_activation is not None:
            interaction = self.cross_activation(interaction)
        mean = weighted_mean(interaction, weights).astype(interaction.dtype)
        return self.target_output(mean), self.support_output(interaction)

    def target_output(self, mean: Float[Array, "N H W F"]) -> Float[Array, "N H W G"]:
        """Compute u' = A(Conv_t(mean_i z_i))."""
        return _activate(self.target(mean))

    def support_output(self, interaction: Float[Array, "N H W F"]) -> Float[Array, "N H W G"]:
        """Compute v'_i = A(Conv_s(z_i))."""
        lanes = interaction.shape[-1] // self.support.kernel.shape[2]
        bias = jnp.tile(self.support.bias[...], lanes).astype(interaction.dtype)
        return _activate(conv2d(interaction, block_diagonal(self.support.kernel[...], lanes)) + bias)

    def in_chunks(
        self,
        target: Float[Array, "1 H W Cu"],
        entries: PyTree,
        over_support: Callable,
        *,
        read: Callable[[PyTree], tuple[Array, ...]] = lambda features: (features,),
        write: Callable[[Array], tuple[PyTree, PyTree]] | None,
    ) -> tuple[Array, PyTree, PyTree]:
        """Compute the block with the support in chunks and the target half only once.

        Args:
            target: input of the target stream.
            entries: arrays with leading axis S from which `read` makes the input of the support stream.
            over_support: `map_support` with its weights, chunk and axis.
            read: function from a chunk of `entries` to the parts of the support input (`CrossConv.support_half`).
            write: function from a chunk of the support output to two parts: one kept for each entry, one averaged.
                None skips the support output.

        Returns:
            The target output, the kept part with leading axis S, and the mean of the averaged part.
        """
        target_half = self.cross.target_half(target)

        def on_chunk(chunk: PyTree) -> tuple[PyTree, PyTree]:
            support_half = self.cross.support_half(*read(chunk))
            interaction = jnp.tile(target_half, support_half.shape[-1] // target_half.shape[-1]) + support_half
            if self.cross_activation is not None:
                interaction = self.cross_activation(interaction)
            kept, averaged = ((), ()) if write is None else write(self.support_output(interaction))
            return kept, (interaction, averaged)

        kept, (mean, means) = over_support(on_chunk, entries)
        return self.target_output(mean.astype(target.dtype)), kept, means

    def from_images(
        self,
        target: Float[Array, "1 H W Cu"],
        support: Float[Array, "S H W _c"],
        mean: Float[Array, "1 H W Cv"],
        over_support: Callable,
    ) -> tuple[Float[Array, "1 H W F"], Float[Array, "S h w _f"], Float[Array, "1 H W F"]]:
        """Compute the block for inputs of few channels and even sizes, without cross activation.

        The two convolutions of a stream have no function between them, so they are one 5×5 convolution
        (`conv_twice`). An image of ones carries the bias of the first through the zero-padded second:

            u'   = A(K_t * (J * [u, 1, mean_i v_i]) + b_t),             J = [K_u, b, K_v]
            v'_i = A(K_s * ([K_u, b] * [u, 1]) + b_s + K_s * (K_v * v_i))

        Args:
            target: input of the target stream.
            support: input of the support stream. Entries may lie side by side (`nn/lanes.py`).
            mean: weighted mean of the entries.
            over_support: as in `in_chunks`.

        Returns:
            The target output, the support output pooled, and the mean of the support output.
        """
        kernel_target, kernel_support = self.cross.kernel_target[...], self.cross.kernel_support[...]
        bias_as_kernel = jnp.zeros((3, 3, 1, self.cross.bias.shape[0])).at[1, 1, 0].set(self.cross.bias[...])
        of_target = jnp.concatenate([kernel_target, bias_as_kernel], axis=2)
        with_bias = jnp.concatenate([target, jnp.ones_like(target[..., :1])], axis=-1)

        lanes, folded = support.shape[-1] // kernel_support.shape[2], backend.fold_pixels()
        first, second = (block_diagonal(kernel, lanes) for kernel in (kernel_support, self.support.kernel[...]))
        convolve = conv_twice_pixels if folded else _conv_twice_whole
        bias = jnp.tile(self.support.bias[...], lanes).astype(target.dtype)
        target_parts = [part + bias for part in convolve(with_bias, jnp.tile(of_target, lanes), second)]

        def on_chunk(chunk: Array) -> tuple[Array, PyTree]:
            parts = [_activate(t + s) for t, s in zip(target_parts, convolve(chunk, first, second), strict=True)]
            return reduce(jnp.maximum, parts) if folded else max_pool(parts[0]), parts

        pooled, means = over_support(on_chunk, support)
        joint = jnp.concatenate([with_bias, mean.astype(target.dtype)], axis=-1)
        joint_kernel = jnp.concatenate([of_target, kernel_support], axis=2)
        output = conv_twice(joint, joint_kernel, self.target.kernel[...]) + self.target.bias[...].astype(target.dtype)
        return _activate(output), pooled, unfold(jnp.concatenate(means, axis=-1)) if folded else means[0]

    def from_means(self, target: Float[Array, "1 H W Cu"], mean: Float[Array, "1 H W Cv"]) -> Float[Array, "1 H W F"]:
        """Compute the target output alone: u' = A(Conv_t(K_u * u + b + K_v * mean_i v_i)).

        It is valid without cross activation. Its cost does not depend on S.

        Args:
            target: input of the target stream.
            mean: weighted mean of the support input.
        """
        return self.target_output(self.cross.target_half(target) + self.cross.support_half(mean.astype(target.dtype)))


@jax.custom_vjp
def _activate(features: Array) -> Array:
    return jax.nn.leaky_relu(features, NEGATIVE_SLOPE)


def _activate_forward(features: Array) -> tuple[Array, Array]:
    result = _activate(features)
    return result, result  # its sign is the sign of the input, which need not be kept as well


def _activate_backward(result: Array, cotangent: Array) -> tuple[Array]:
    return (jnp.where(result >= 0, cotangent, NEGATIVE_SLOPE * cotangent),)


_activate.defvjp(_activate_forward, _activate_backward)


def _conv_twice_whole(*arrays: Array) -> list[Array]:
    return [conv_twice(*arrays)]
