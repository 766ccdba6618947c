"""Losses, and one training step written once for one device and for many.

The body of a step sees the episodes, and the entries of their support sets, that its device holds. It takes the
gradient of its own loss, then the mean over the devices. (The mean of the losses inside of the differentiated
function would give gradients that are wrong by a factor, without any error.)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from universeg_jax import backend
from universeg_jax.data.augment import Policy, augment_episodes
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.parallel import DATA, SUPPORT
from universeg_jax.shapes import Array, Float, typed
from universeg_jax.train.config import TrainConfig
from universeg_jax.train.state import Parameters, TrainState, with_parameters

SMOOTHING = 1e-7  # of the authors' loss library


@typed
def soft_dice_loss(logits: Float[Array, "B H W 1"], labels: Float[Array, "B H W 1"]) -> Float[Array, " B"]:
    """One minus the soft Dice score, with squares in the denominator (Milletari et al., V-Net, 2016).

    1 - (2 sum(p y) + e) / (sum(p^2) + sum(y^2) + e) of the probabilities p and labels y in [0,1], for each image.
    """
    probabilities = jax.nn.sigmoid(logits.astype(jnp.float32))
    labels = labels.astype(jnp.float32)
    axes = (1, 2, 3)
    overlap = 2 * (probabilities * labels).sum(axes)
    total = (probabilities**2).sum(axes) + (labels**2).sum(axes)
    return 1 - (overlap + SMOOTHING) / (total + SMOOTHING)


@typed
def cross_entropy_loss(logits: Float[Array, "B H W 1"], labels: Float[Array, "B H W 1"]) -> Float[Array, " B"]:
    """Binary cross-entropy, the mean over the pixels of each image, in nats."""
    entropy = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), labels.astype(jnp.float32))
    return entropy.mean((1, 2, 3))


Step = Callable[[TrainState, Episode], tuple[TrainState, "Measures"]]

EPISODES = Episode(*[P(DATA)] * 2, *[P(DATA, SUPPORT)] * 3, *[P(DATA)] * 2)
"""Which axes of a mesh the arrays of a batch of episodes are spread over."""


class Measures(NamedTuple):
    """Of one step: means over the batch."""

    loss: Float[Array, ""]
    dice: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def make_body(
    config: TrainConfig, model: UniverSegConfig, optimizer: optax.GradientTransformation, *, axes: Sequence[str] = ()
) -> Step:
    """The step as one device takes it.

    Args:
        axes: named axes that episodes (DATA) and support entries (SUPPORT) are spread over; none on one device.

    Returns:
        The step. It leaves a state as it is where loss or gradient are not finite.
    """
    dtype = jnp.dtype(config.dtype)

    def loss(parameters: Parameters, episodes: Episode) -> tuple[Array, Array]:
        logits = with_parameters(model, parameters)(
            *(x.astype(dtype) for x in (episodes.target, episodes.support_images, episodes.support_labels)),
            episodes.support_mask,
            targets_at_once=len(episodes.target),
            support_axis=SUPPORT if SUPPORT in axes else None,
            checkpoint=config.checkpoint_activations,
        )
        dice = soft_dice_loss(logits, episodes.target_label)
        entropy = cross_entropy_loss(logits, episodes.target_label)
        return (config.dice * dice + config.cross_entropy * entropy).mean(), 1 - dice.mean()

    def body(state: TrainState, episodes: Episode) -> tuple[TrainState, Measures]:
        (value, dice), gradients = jax.value_and_grad(loss, has_aux=True)(state.parameters, episodes)
        if axes:
            value, dice, gradients = lax.pmean((value, dice, gradients), tuple(axes))
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        # A young average forgets its random beginning faster.
        decay = jnp.minimum(config.ema, (1 + state.step) / (10 + state.step))
        average = optax.incremental_update(parameters, state.average, 1 - decay)
        norm = optax.tree.norm(gradients)
        new = TrainState(parameters, average, optimizer_state, state.step + 1)
        # What is not finite would spoil the state for good.
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state), Measures(value, dice, norm)

    return body


def augmented(config: TrainConfig) -> Callable[[Episode], Episode]:
    """The augmentation of a batch, a function of the seed and the numbers of its episodes."""
    if config.policy == Policy.none():
        return lambda episodes: episodes
    key = jax.random.key(config.seed)
    return partial(augment_episodes, key, policy=config.policy)


# Below, augmentation and network are two programs. In one, a longer one, XLA's CPU backend takes minutes to compile
# for several devices, and chooses slower code for the network on one.


def on_one_device(make: Callable[..., Step], augment: Callable[[Episode], Episode]) -> Step:
    """The step on the default device."""
    augment = jax.jit(augment)
    step = jax.jit(make(axes=()), donate_argnums=0, compiler_options=backend.compiler_options())
    return lambda state, episodes: step(state, augment(episodes))


def over_data(make: Callable[..., Step], augment: Callable[[Episode], Episode], devices: Sequence) -> Step:
    """The step over the devices of one process by `jax.pmap`, each with its share of the episodes.

    Episodes come with an axis of the devices in front; the state is copied to each.
    """
    on_each = partial(jax.pmap, axis_name=DATA, devices=devices)
    augment = on_each(augment)
    step = on_each(make(axes=(DATA,)), in_axes=(None, 0), out_axes=None, donate_argnums=0)
    return lambda state, episodes: step(state, augment(episodes))


def over_mesh(make: Callable[..., Step], augment: Callable[[Episode], Episode], mesh: Mesh) -> Step:
    """The same over a mesh: episodes over its axis DATA, their support sets over SUPPORT."""
    over_devices = partial(jax.shard_map, mesh=mesh, check_vma=False)
    # Augmentation sees whole episodes: geometry that all entries have in common is drawn once.
    augment = jax.jit(over_devices(augment, in_specs=P(DATA), out_specs=P(DATA)))
    step = jax.jit(
        over_devices(make(axes=(DATA, SUPPORT)), in_specs=(P(), EPISODES), out_specs=(P(), P())),
        donate_argnums=0,
        compiler_options=backend.compiler_options(),
    )
    return lambda state, episodes: step(state, augment(episodes))
