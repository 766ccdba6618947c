"""A U-Net (Ronneberger et al., 2015) trained on one task, as a method of the evaluation protocol."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from universeg_jax import backend
from universeg_jax.data.augment import Policy, augment_episode
from universeg_jax.data.augment.augment import Variation
from universeg_jax.evaluate.data import SupportPool
from universeg_jax.nn.conv import LINEAR, RECTIFIED, Conv
from universeg_jax.nn.resample import max_pool, upsample
from universeg_jax.shapes import Array, Float
from universeg_jax.train.losses import cross_entropy_loss, soft_dice_loss

AUGMENTATION = Policy(
    in_task=Variation(
        affine=0.5,
        rotation=(-20.0, 20.0),
        translation=(-0.1, 0.1),
        scale=(0.85, 1.15),
        brightness_contrast=0.3,
        blur=0.2,
        noise=0.2,
    )
)


class Stage(nnx.Module):
    """Two convolutions, each followed by group normalisation and a rectifier."""

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        self.convolutions = nnx.List(
            [Conv(given, features, kernel_size=3, gain=RECTIFIED, rngs=rngs) for given in (in_features, features)]
        )
        self.norms = nnx.List([nnx.GroupNorm(features, num_groups=4, rngs=rngs) for _ in range(2)])

    def __call__(self, x: Array) -> Array:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = jax.nn.relu(norm(convolution(x)))
        return x


class UNet(nnx.Module):
    """Encoder and decoder with skip connections, from images (B,H,W,1) to logits (B,H,W,1)."""

    def __init__(self, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        inputs = (1, *widths[:-1])
        self.down = nnx.List([Stage(given, width, rngs=rngs) for given, width in zip(inputs, widths, strict=True)])
        deeper = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nnx.List([Stage(below + width, width, rngs=rngs) for below, width in deeper])
        self.head = Conv(widths[0], 1, kernel_size=1, gain=LINEAR, rngs=rngs)

    def __call__(self, images: Float[Array, "B H W 1"]) -> Float[Array, "B H W 1"]:
        x, skips = images, []
        for stage in self.down:
            if skips:
                x = max_pool(x)
            x = stage(x)
            skips.append(x)
        skips.pop()
        for stage in self.up:
            x = stage(jnp.concatenate([upsample(x), skips.pop()], axis=-1))
        return self.head(x)


@dataclass(frozen=True)
class SupervisedUNet:
    """A U-Net trained from scratch on all examples of its support; the seed determines the network.

    The loss is soft Dice plus cross-entropy; the optimiser is Adam with a cosine decay.

    Args:
        widths: features of each stage of the encoder.
        steps, batch, rate: steps, images in a batch and learning rate of the training.
        augmentation: augmentation of images and masks; None for none.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96)
    steps: int = 300
    batch: int = 8
    rate: float = 2e-3
    augmentation: Policy | None = AUGMENTATION

    name = "U-Net trained on the task"

    @property
    def identity(self) -> str:
        training = f"{self.steps} steps of {self.batch}, rate {self.rate}, {self.augmentation}"
        return f"U-Net of widths {self.widths}, {training}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        images, labels = pool.first(support_size)
        model = UNet(self.widths, rngs=nnx.Rngs(int(rng.integers(2**31))))
        graph, parameters = nnx.split(model)
        optimiser = optax.adam(optax.cosine_decay_schedule(self.rate, self.steps))
        state = optimiser.init(parameters)
        key = jax.random.key(int(rng.integers(2**31)))
        step = partial(_step, graph, optimiser, self.augmentation)
        step = jax.jit(step, compiler_options=backend.compiler_options())
        for number in range(self.steps):
            drawn = rng.integers(len(images), size=self.batch)
            parameters, state = step(parameters, state, jax.random.fold_in(key, number), images[drawn], labels[drawn])
        forward = jax.jit(lambda parameters, x: jax.nn.sigmoid(nnx.merge(graph, parameters)(x)))
        return np.concatenate([forward(parameters, one[None]) for one in targets])


def _step(graph, optimiser, policy: Policy | None, parameters, state, key: Array, images: Array, labels: Array):
    if policy is not None:  # augmentation treats the batch as an episode: every image has its own draw
        first, first_label, others, other_labels = augment_episode(
            key, images[0], labels[0], images[1:], labels[1:], policy=policy
        )
        images, labels = jnp.concatenate([first[None], others]), jnp.concatenate([first_label[None], other_labels])

    def loss(parameters):
        logits = nnx.merge(graph, parameters)(images)
        return (soft_dice_loss(logits, labels) + cross_entropy_loss(logits, labels)).mean()

    updates, state = optimiser.update(jax.grad(loss)(parameters), state, parameters)
    return optax.apply_updates(parameters, updates), state
