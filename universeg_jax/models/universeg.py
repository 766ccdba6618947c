"""UniverSeg (Butoi et al., ICCV 2023): segmentation of images from a labelled support set.

The network is a U-Net of two streams, the features of the target and the features of every support entry. Each block
is a `CrossBlock`. `UniverSeg.definition` is the network as the paper writes it. `UniverSeg.__call__` computes the same
with fewer multiplications and less memory. The cross-convolution is linear, so:

1. The target half of a cross-convolution is computed once, not for each support entry (`CrossBlock.in_chunks`).
2. The mean over the support moves before a convolution (`CrossBlock.from_means`).
3. The last block has no use for its support output, so it needs only means. Its cost does not depend on S.
4. The two convolutions of the first block become one 5×5 convolution from one or two channels
   (`CrossBlock.from_images`). Its support part does not depend on the target.
5. Only means couple support entries, so each block computes them in chunks and over devices (`map_support`). It pools
   each chunk before the next, so support features of full resolution stay in the cache. On a TPU two entries lie side
   by side in the channels (`nn/lanes.py`).

An activation in the cross-convolution leaves points 1 and 5, and the omission of the last support convolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from universeg_jax import backend
from universeg_jax.backend import compiled
from universeg_jax.nn.conv import LINEAR, Conv
from universeg_jax.nn.cross_conv import Activation, CrossBlock
from universeg_jax.nn.lanes import lanes_of, side_by_side
from universeg_jax.nn.resample import max_pool, upsample
from universeg_jax.nn.support import for_each_target, map_support, mean_weights, weighted_mean
from universeg_jax.shapes import Array, Float, Shaped, Size, check_divisible, check_shapes

PyTree = Any


@dataclass(frozen=True)
class UniverSegConfig:
    """Architecture of a UniverSeg network.

    Attributes:
        encoder_features: features of each encoder stage, after its cross-convolution and after its second
            convolution. Height and width are halved between stages.
        decoder_features: features of each decoder stage. None mirrors the encoder without its deepest stage.
        cross_activation: function after a cross-convolution. None as in the released weights; `jax.nn.leaky_relu`
            as in equation 1 of the paper.
        input_size: side in pixels of the images that the network was made for. It accepts others.
    """

    encoder_features: tuple[tuple[int, int], ...] = ((64, 64),) * 4
    decoder_features: tuple[tuple[int, int], ...] | None = None
    cross_activation: Activation | None = None
    input_size: int = 128

    @classmethod
    def v1(cls) -> "UniverSegConfig":
        """Create the configuration of the released network."""
        return cls()

    @property
    def decoder(self) -> tuple[tuple[int, int], ...]:
        """Features of each decoder stage."""
        return self.encoder_features[-2::-1] if self.decoder_features is None else self.decoder_features

    def __post_init__(self):
        stages = len(self.encoder_features)
        if stages < 2 or len(self.decoder) != stages - 1:
            raise ValueError(
                f"an encoder of {stages} stages and a decoder of {len(self.decoder)}: "
                "give at least two encoder stages and one decoder stage fewer, or decoder_features=None"
            )


class UniverSeg(nnx.Module):
    """UniverSeg network. A call computes the logits of one or many targets.

    Attributes:
        config: its architecture.
        input_channels: 1, grey images.
        padding: "zeros", as in training.
    """

    input_channels = 1
    padding = "zeros"

    def __init__(self, config: UniverSegConfig, *, rngs: nnx.Rngs):
        def block(target: int, support: int, features: tuple[int, int]) -> CrossBlock:
            return CrossBlock(target, support, *features, cross_activation=config.cross_activation, rngs=rngs)

        self.config = config
        outputs = [features for _, features in config.encoder_features]
        inputs = [(1, 2)] + [(features, features) for features in outputs[:-1]]
        self.encoder = nnx.List(
            [block(*given, features) for given, features in zip(inputs, config.encoder_features, strict=True)]
        )
        below = [outputs[-1]] + [features for _, features in config.decoder[:-1]]
        joined = [low + skip for low, skip in zip(below, outputs[-2::-1], strict=True)]
        self.decoder = nnx.List(
            [block(width, width, features) for width, features in zip(joined, config.decoder, strict=True)]
        )
        self.head = Conv(config.decoder[-1][1], 1, kernel_size=1, gain=LINEAR, rngs=rngs)

    @property
    def input_size(self) -> int:
        """Side in pixels of the images that the network was made for."""
        return self.config.input_size

    def definition(
        self, target: Array, support_images: Array, support_labels: Array, support_mask: Array | None = None
    ) -> Array:
        """Compute the network as the paper defines it, each block on the whole support set at once.

        Arguments and result are as in `__call__`.
        """
        support, mask = self._checked(target, support_images, support_labels, support_mask)
        return for_each_target(self._define_one, target, support, mask, at_once=target.shape[0])

    @compiled(static=("chunk", "targets_at_once", "support_axis", "checkpoint"))
    def __call__(
        self,
        target: Array,
        support_images: Array,
        support_labels: Array,
        support_mask: Array | None = None,
        *,
        chunk: Size | None = None,
        targets_at_once: Size | None = None,
        support_axis: str | None = None,
        checkpoint: bool = False,
    ) -> Array:
        """Segment targets from a support set.

        The method compiles itself once for each combination of shapes. It can also be called inside `jax.jit`,
        `jax.grad`, `jax.vmap`, `jax.pmap` and `jax.shard_map`.

        Args:
            target: images (B,H,W,1) in [0,1]. H and W must be divisible by 2 ** (stages - 1).
            support_images: (B,S,H,W,1) in [0,1], or (1,S,H,W,1) shared by all targets.
            support_labels: same shape, in [0,1]; soft labels are valid.
            support_mask: (B,S) or (1,S), bool or weights of the entries in means over the support. An entry with
                weight zero has no effect. None gives all entries the same weight.
            chunk: number of support entries computed at a time. None lets the backend choose.
            targets_at_once: number of targets computed at a time. They share one pass over a shared support set.
                None takes as many as fit into `backend.feature_memory()`.
            support_axis: named axis of `jax.pmap` or `jax.shard_map` over whose devices the support set is split.
            checkpoint: for gradients, compute the features of support entries again instead of storing them.

        Returns:
            Logits (B,H,W,1), in the dtype of `target`.

        Raises:
            ValueError: shapes do not fit together, or images are not floating-point numbers.
        """
        support, mask = self._checked(target, support_images, support_labels, support_mask)
        run = partial(
            self._run_one,
            chunk=chunk or backend.support_chunk(),
            axis_name=support_axis,
            checkpoint=checkpoint,
        )
        at_once = targets_at_once or max(1, backend.feature_memory() // self._feature_bytes(support))
        return for_each_target(run, target, support, mask, at_once=at_once)

    def prepare(self, images: Array, labels: Array, mask: Array) -> Callable[..., Array]:
        """Prepare a support set and return the predictor of its task (`universeg_jax.InContextModel`).

        Args:
            images: support images (S,H,W,1) in [0,1].
            labels: one label map per class (K,S,H,W,1) in [0,1].
            mask: (K,S), True for the entries that show a class.

        Returns:
            A function from images (B,H,W,1) to logits (K,B,H,W,1). It ignores the regions of the images.
        """
        # NumPy cuts and joins arrays, because JAX would compile a program for each such step and shape.
        images, labels, mask = np.asarray(images), np.asarray(labels), np.asarray(mask)
        whole = jax.device_put([(images[None], y[None], m[None]) for y, m in zip(labels, mask, strict=True)])

        def predict(targets: Array, regions: Array | None = None, weights: Array | None = None) -> Array:
            if weights is None:
                sets = whole
            else:
                weights = np.asarray(weights)
                most = max(1, int((weights > 0).sum(axis=1).max()))
                if 2 * most > len(images):
                    sets = [(images[None], y[None], m * weights) for y, m in zip(labels, mask, strict=True)]
                else:  # every target has few entries: give each a support set of its own
                    chosen = np.argsort(-weights, axis=1, kind="stable")[:, :most]
                    own = np.take_along_axis(weights, chosen, axis=1)
                    sets = [(images[chosen], y[chosen], m[chosen] * own) for y, m in zip(labels, mask, strict=True)]
            return np.stack([self(targets, *support) for support in sets])

        return predict

    def _checked(self, target: Array, images: Array, labels: Array, mask: Array | None) -> tuple[Array, Array]:
        """Check the arguments and return the support set (B or 1,S,H,W,2), absent entries zeroed, and its mask."""
        check_shapes(target.shape, images.shape, labels.shape, None if mask is None else mask.shape)
        check_divisible(target.shape[1:3], 2 ** (len(self.encoder) - 1))
        if not jnp.issubdtype(target.dtype, jnp.floating):
            raise ValueError(f"target is {target.dtype}: pass intensities in [0,1] as floating-point numbers")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"support images are {images.dtype}: pass intensities in [0,1] as floating-point numbers")
        support = jnp.concatenate([images.astype(target.dtype), labels.astype(target.dtype)], axis=-1)
        if mask is None:
            return support, jnp.ones((1, support.shape[1]), bool)
        # Absent entries may hold anything, even NaN, which a weight of zero would not remove.
        present = mask != 0 if support.shape[0] > 1 else (mask != 0).any(axis=0, keepdims=True)
        return jnp.where(present[:, :, None, None, None], support, 0), mask

    def _feature_bytes(self, support: Array) -> int:
        """Estimate the memory of all support features of one target: the second stage, pooled and as skip."""
        _, entries, height, width, _ = support.shape
        return 3 * entries * (height // 2) * (width // 2) * self._widest() * support.dtype.itemsize

    def _widest(self) -> int:
        """Return the largest number of features of an encoder stage."""
        return max(features for _, features in self.config.encoder_features)

    def _define_one(self, target: Array, support: Array, mask: Array) -> Array:
        """Compute the definition for one target."""
        weights, target, skips = mean_weights(mask), target[None], []
        for stage, block in enumerate(self.encoder):
            if stage > 0:
                skips.append((target, support))
                target, support = max_pool(target), max_pool(support)
            target, support = block(target, support, weights)
        for block in self.decoder:
            skip = skips.pop()
            target, support = (_join(pair) for pair in zip((target, support), skip, strict=True))
            target, support = block(target, support, weights)
        return self.head(target)[0]

    def _run_one(
        self,
        target: Float[Array, "H W 1"],
        support: Float[Array, "S H W 2"],
        mask: Shaped[Array, " S"],
        *,
        chunk: Size,
        axis_name: str | None,
        checkpoint: bool,
    ) -> Float[Array, "H W 1"]:
        """Compute the logits of one target, support entries in chunks."""
        linear = self.config.cross_activation is None
        weights = mean_weights(mask, axis_name=axis_name)
        mean = weighted_mean(support, weights, axis_name=axis_name) if linear else None
        lanes = lanes_of(support.shape[0], self._widest())
        support, weights = side_by_side(support, weights, lanes)
        over_support = partial(
            map_support, weights=weights, chunk=-(-chunk // lanes), axis_name=axis_name, checkpoint=checkpoint
        )
        hand_to_last = _average if linear else _keep  # a linear last block reads means only
        *inner, last = self.decoder

        target, entries, skips = target[None], support, []
        for stage, block in enumerate(self.encoder[:-1]):
            if stage == 0 and mean is not None:
                target, entries, means = block.from_images(target, support, mean, over_support)
                skip = ()
            else:
                target, (entries, skip), means = block.in_chunks(target, entries, over_support, write=_pool)
            skips.append((target, skip, means))
            target = max_pool(target)

        write = _keep if inner else hand_to_last
        target, entries, means = self.encoder[-1].in_chunks(target, entries, over_support, write=write)
        for block in inner:
            skip_target, skip, _ = skips.pop()
            write = hand_to_last if block is inner[-1] else _keep
            target, entries, means = block.in_chunks(
                _join((target, skip_target)), (entries, skip), over_support, read=_upsampled, write=write
            )
        skip_target, skip, skip_means = skips.pop()
        target = _join((target, skip_target))
        if linear:
            target = last.from_means(target, _join((means, skip_means)))
        else:
            target, _, _ = last.in_chunks(target, (entries, skip), over_support, read=_upsampled, write=None)
        return self.head(target)[0]


def _join(low_and_skip: tuple[Array, Array]) -> Array:
    """Concatenate the upsampled features from below and the skip features from the encoder."""
    return jnp.concatenate(_upsampled(low_and_skip), axis=-1)


def _upsampled(low_and_skip: tuple[Array, Array]) -> tuple[Array, Array]:
    """Upsample the features from below to the size of the skip features."""
    low, skip = low_and_skip
    return upsample(low), skip


def _pool(features: Array) -> tuple[PyTree, PyTree]:
    """Keep the support output of a block pooled for the next block, and whole as a skip."""
    return (max_pool(features), features), ()


def _keep(features: Array) -> tuple[PyTree, PyTree]:
    """Keep the support output of a block for each entry."""
    return features, ()


def _average(features: Array) -> tuple[PyTree, PyTree]:
    """Average the support output of a block over the entries."""
    return (), features
