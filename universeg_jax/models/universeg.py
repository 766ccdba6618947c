"""UniverSeg (Butoi et al., ICCV 2023): segment an image by the example of a labelled support set.

A U-Net of two streams, the target's features and those of every support entry, in which each block is a
`CrossBlock`. `UniverSeg.definition` is that network as the paper writes it. `UniverSeg.__call__` computes the same
from a fifth of the multiplications and in memory that hardly grows with the support, by what the linearity of the
cross-convolution allows:

1. the target half of a cross-convolution is computed once, not once per support entry (`CrossBlock.in_chunks`);
2. the mean over the support can be taken before a convolution, not after (`CrossBlock.from_means`);
3. so the last block, whose support output nobody reads, needs only means: its cost does not depend on S;
4. the two convolutions in a row of the first block are one 5×5 convolution from one or two channels
   (`CrossBlock.from_images`), and for the support independent of the target;
5. only means couple support entries, so each block takes them in chunks and over devices (`map_support`), pooled
   before the next chunk: support features of full resolution never leave the cache.

With an activation in the cross-convolution, 1, 5 and the omission of the last support convolution remain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from universeg_jax import backend
from universeg_jax.nn.conv import LINEAR, Conv
from universeg_jax.nn.cross_conv import Activation, CrossBlock
from universeg_jax.nn.resample import max_pool, upsample
from universeg_jax.nn.support import map_support, mean_weights, weighted_mean
from universeg_jax.shapes import Array, Float, Shaped, check_divisible, check_shapes

PyTree = Any


@dataclass(frozen=True)
class UniverSegConfig:
    """What a UniverSeg network is made of.

    Attributes:
        encoder_features: for each encoder stage, features after the cross-convolution and after the
            convolution behind it. The image is halved between stages.
        decoder_features: the same for the decoder; None mirrors the encoder without its deepest stage.
        cross_activation: what follows a cross-convolution. None as in the released weights;
            `jax.nn.leaky_relu` as in the paper's equation 1.
        input_size: side in pixels of the images the network is meant for. It takes others.
    """

    encoder_features: tuple[tuple[int, int], ...] = ((64, 64),) * 4
    decoder_features: tuple[tuple[int, int], ...] | None = None
    cross_activation: Activation | None = None
    input_size: int = 128

    @classmethod
    def v1(cls) -> "UniverSegConfig":
        """The released network: 1,182,785 parameters."""
        return cls()

    @property
    def decoder(self) -> tuple[tuple[int, int], ...]:
        return self.encoder_features[-2::-1] if self.decoder_features is None else self.decoder_features

    def __post_init__(self):
        stages = len(self.encoder_features)
        if stages < 2 or len(self.decoder) != stages - 1:
            raise ValueError(
                f"an encoder of {stages} stages and a decoder of {len(self.decoder)}: "
                "give at least two encoder stages and one decoder stage fewer, or decoder_features=None"
            )


class UniverSeg(nnx.Module):
    """The network. Calling it gives the logits of one or many targets."""

    input_channels = 1
    padding = "zeros"  # as the network was trained

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
        return self.config.input_size

    def definition(
        self, target: Array, support_images: Array, support_labels: Array, support_mask: Array | None = None
    ) -> Array:
        """The network as the paper defines it, every block on the whole support set. Shapes as in `__call__`."""
        support, mask = self._checked(target, support_images, support_labels, support_mask)
        return _for_each(self._define_one, target, support, mask, at_once=target.shape[0])

    def __call__(
        self,
        target: Array,
        support_images: Array,
        support_labels: Array,
        support_mask: Array | None = None,
        *,
        chunk: int | None = None,
        targets_at_once: int | None = None,
        support_axis: str | None = None,
        checkpoint: bool = False,
    ) -> Array:
        """Segment targets by the example of a support set.

        It can be called under `jax.jit`, `jax.grad`, `jax.vmap`, `jax.pmap` and `jax.shard_map`; outside of them it
        compiles itself, once for each combination of shapes.

        Args:
            target: images (B,H,W,1) in [0,1]. H and W must be divisible by 2 ** (stages - 1).
            support_images: (B,S,H,W,1), or (1,S,H,W,1) for one set shared by all targets.
            support_labels: the same shape, in [0,1]; soft labels are welcome.
            support_mask: (B,S) or (1,S), bool or weights: means over the support are weighted with it, and
                entries where it is zero change nothing. None counts every entry once.
            chunk: support entries taken at a time; None chooses for the backend.
            targets_at_once: targets taken at a time, with one pass over what depends on a shared support alone;
                None takes as many as keep the features of all entries within a bound.
            support_axis: the named axis (of `jax.pmap` or `jax.shard_map`) over whose devices the support is spread.
            checkpoint: for gradients, compute the features of support entries once more rather than keep them.

        Returns:
            Logits (B,H,W,1), in the dtype of `target`.

        Raises:
            ValueError: where shapes do not fit together.
        """
        arrays = jax.tree.map(jnp.asarray, (target, support_images, support_labels, support_mask))
        options = dict(chunk=chunk, targets_at_once=targets_at_once, support_axis=support_axis, checkpoint=checkpoint)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((self, arrays))):
            return self._logits(*arrays, **options)
        with jax.ensure_compile_time_eval():  # compiler options are refused inside of another jit
            return _compiled_logits()(self, *arrays, **options)

    def prepare(self, images: Array, labels: Array, mask: Array) -> Callable[..., Array]:
        """Take in a support set and return the predictor of its task (`universeg_jax.segment.InContextModel`).

        Args:
            images: support images (S,H,W,1) in [0,1].
            labels: one label map per class (K,S,H,W,1) in [0,1].
            mask: (K,S), True where an entry counts for a class.

        Returns:
            A function from images (B,H,W,1) to logits (K,B,H,W,1). It ignores the regions of the images.
        """
        images, labels, mask = jnp.asarray(images), jnp.asarray(labels), jnp.asarray(mask)

        def predict(targets: Array, regions: Array | None = None, weights: Array | None = None) -> Array:
            targets = jnp.asarray(targets)
            if weights is None:
                sets = [(images[None], y[None], m[None]) for y, m in zip(labels, mask, strict=True)]
            else:
                weights = np.asarray(weights)
                most = max(1, int((weights > 0).sum(axis=1).max()))
                if 2 * most > len(images):
                    sets = [(images[None], y[None], m * weights) for y, m in zip(labels, mask, strict=True)]
                else:  # every target has few entries: give each a support set of its own
                    chosen = np.argsort(-weights, axis=1, kind="stable")[:, :most]
                    own = np.take_along_axis(weights, chosen, axis=1)
                    sets = [(images[chosen], y[chosen], m[chosen] * own) for y, m in zip(labels, mask, strict=True)]
            return jnp.stack([self(targets, *support) for support in sets])

        return predict

    def _checked(self, target: Array, images: Array, labels: Array, mask: Array | None) -> tuple[Array, Array]:
        """The support set as one array (B or 1,S,H,W,2), absent entries blanked, and its mask."""
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

    def _logits(
        self,
        target: Array,
        images: Array,
        labels: Array,
        mask: Array | None,
        *,
        chunk: int | None,
        targets_at_once: int | None,
        support_axis: str | None,
        checkpoint: bool,
    ) -> Array:
        support, mask = self._checked(target, images, labels, mask)
        run = partial(
            self._run_one,
            chunk=chunk or backend.support_chunk(),
            axis_name=support_axis,
            checkpoint=checkpoint,
        )
        at_once = targets_at_once or max(1, backend.feature_memory() // self._feature_bytes(support))
        return _for_each(run, target, support, mask, at_once=at_once)

    def _feature_bytes(self, support: Array) -> int:
        """Roughly what one target's features of all support entries take: the second stage, pooled and as skip."""
        _, entries, height, width, _ = support.shape
        widest = max(features for _, features in self.config.encoder_features)
        return 3 * entries * (height // 2) * (width // 2) * widest * support.dtype.itemsize

    def _define_one(self, target: Array, support: Array, mask: Array) -> Array:
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
        chunk: int,
        axis_name: str | None,
        checkpoint: bool,
    ) -> Float[Array, "H W 1"]:
        weights = mean_weights(mask, axis_name=axis_name)
        over_support = partial(map_support, weights=weights, chunk=chunk, axis_name=axis_name, checkpoint=checkpoint)
        linear = self.config.cross_activation is None
        hand_to_last = _average if linear else _keep  # a linear last block asks for means, never for entries
        *inner, last = self.decoder

        target, entries, skips = target[None], support, []
        for stage, block in enumerate(self.encoder[:-1]):
            hand_on = hand_to_last if stage == 0 else _keep

            def write(features: Array, hand_on: Callable = hand_on) -> tuple[PyTree, PyTree]:
                kept, averaged = hand_on(features)
                return (max_pool(features), kept), averaged

            if stage == 0 and linear:
                mean = weighted_mean(support, weights, axis_name=axis_name)
                target, kept, means = block.from_images(target, support, mean, over_support, write=write)
            else:
                target, kept, means = block.in_chunks(target, entries, over_support, write=write)
            entries, skip = kept
            skips.append((target, skip, means))
            target = max_pool(target)

        write = _keep if inner else hand_to_last
        target, entries, means = self.encoder[-1].in_chunks(target, entries, over_support, write=write)
        for block in inner:
            skip_target, skip, _ = skips.pop()
            write = hand_to_last if block is inner[-1] else _keep
            target, entries, means = block.in_chunks(
                _join((target, skip_target)), (entries, skip), over_support, read=_join, write=write
            )
        skip_target, skip, skip_means = skips.pop()
        target = _join((target, skip_target))
        if linear:
            target = last.from_means(target, _join((means, skip_means)))
        else:
            target, _, _ = last.in_chunks(target, (entries, skip), over_support, read=_join, write=None)
        return self.head(target)[0]


@cache
def _compiled_logits() -> Callable:
    static = ("chunk", "targets_at_once", "support_axis", "checkpoint")
    return jax.jit(UniverSeg._logits, static_argnames=static, compiler_options=backend.compiler_options())


def _for_each(run: Callable, target: Array, support: Array, mask: Array, *, at_once: int) -> Array:
    """Run on each target with its support set and mask, or with the one that all share."""
    shared = support.shape[0] == 1, mask.shape[0] == 1
    # What is shared is closed over, out of sight of vmap: whatever depends on it alone is then computed once.
    own = target, *(None if is_shared else x for is_shared, x in zip(shared, (support, mask), strict=True))

    def one(own: tuple[Array, Array | None, Array | None]) -> Array:
        target, own_support, own_mask = own
        return run(target, support[0] if shared[0] else own_support, mask[0] if shared[1] else own_mask)

    if target.shape[0] <= at_once:
        return jax.vmap(one)(own)
    return lax.map(one, own, batch_size=at_once)


def _join(low_and_skip: tuple[Array, Array]) -> Array:
    """A decoder block's input, from the features below and those of the encoder beside it."""
    low, skip = low_and_skip
    return jnp.concatenate([upsample(low), skip], axis=-1)


# What becomes of a block's support output: (kept of each entry, averaged over them).
def _keep(features: Array) -> tuple[PyTree, PyTree]:
    return features, ()


def _average(features: Array) -> tuple[PyTree, PyTree]:
    return (), features
