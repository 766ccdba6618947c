"""Take one training step, written once for one device and for many.

`TrainStep` sees the episodes, and the entries of their support sets, that its device holds. It takes the gradient of
its own loss and then the mean over the devices. A mean of the losses inside the differentiated function would scale
the gradients by a wrong factor, without any error.

`on_one_device`, `over_data` and `over_mesh` compile it for the devices of a run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from universeg_jax import backend
from universeg_jax.data.augment import Policy, augment_episodes
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.parallel import DATA, SUPPORT
from universeg_jax.shapes import Array, Float
from universeg_jax.train.state import Parameters, TrainState

EPISODES = Episode(*[P(DATA)] * 2, *[P(DATA, SUPPORT)] * 3, *[P(DATA)] * 2)
"""Mesh axes that the arrays of a batch of episodes are split over."""


class Loss(Protocol):
    """The loss that a network is trained with."""

    def __call__(self, parameters: Parameters, episodes: Episode, *, axes: Sequence[str]) -> tuple[Array, Array]:
        """Return loss and Dice, each a mean over the episodes of this device.

        Args:
            parameters: arrays by name.
            episodes: a batch.
            axes: named axes that the batch is split over; empty on one device.
        """
        ...


class Measures(NamedTuple):
    """Loss, Dice and gradient norm of one step, as means over the batch."""

    loss: Float[Array, ""]
    dice: Float[Array, ""]
    gradient_norm: Float[Array, ""]


@dataclass(frozen=True, eq=False)
class TrainStep:
    """One update of the state, as each device computes it.

    Attributes:
        loss: to lower.
        optimizer: turns gradients into updates.
        ema: decay of the moving average of the parameters.
        axes: named axes that episodes (DATA) and support entries (SUPPORT) are split over; empty on one device.
    """

    loss: Loss
    optimizer: optax.GradientTransformation
    ema: float
    axes: tuple[str, ...] = ()

    def over(self, *axes: str) -> "TrainStep":
        """Return the same step for a batch that is split over named axes."""
        return replace(self, axes=axes)

    def __call__(self, state: TrainState, episodes: Episode) -> tuple[TrainState, Measures]:
        """Return the new state and the measures of the step.

        A step whose loss or gradient is not finite leaves the state unchanged.
        """
        differentiate = jax.value_and_grad(self._loss, has_aux=True)
        (value, dice), gradients = differentiate(state.parameters, state.frozen, episodes)
        if self.axes:
            value, dice, gradients = lax.pmean((value, dice, gradients), self.axes)
        norm = optax.tree.norm(gradients)
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        updated = jax.tree.map(lambda new, old: jnp.where(finite, new, old), self._update(state, gradients), state)
        return updated, Measures(value, dice, norm)

    def _loss(self, parameters: Parameters, frozen: Parameters, episodes: Episode) -> tuple[Array, Array]:
        return self.loss({**frozen, **parameters}, episodes, axes=self.axes)

    def _update(self, state: TrainState, gradients: Parameters) -> TrainState:
        updates, optimizer_state = self.optimizer.update(gradients, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        # A young average forgets its random beginning faster.
        decay = jnp.minimum(self.ema, (1 + state.step) / (10 + state.step))
        average = optax.incremental_update(parameters, state.average, 1 - decay)
        return TrainState(parameters, average, optimizer_state, state.step + 1, state.frozen)


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Augment a batch. The result depends on the seed and the numbers of the episodes only."""

    policy: Policy
    seed: int

    def __call__(self, episodes: Episode) -> Episode:
        if self.policy == Policy.none():
            return episodes
        return augment_episodes(jax.random.key(self.seed), episodes, policy=self.policy)


@dataclass(frozen=True, eq=False)
class CompiledStep:
    """Augmentation and update, compiled as two programs.

    As one program, XLA's CPU backend takes minutes to compile them for several devices. It also chooses slower code
    for the network on one device.
    """

    augment: Callable[[Episode], Episode]
    update: Callable[[TrainState, Episode], tuple[TrainState, Measures]]

    def __call__(self, state: TrainState, episodes: Episode) -> tuple[TrainState, Measures]:
        return self.update(state, self.augment(episodes))


def on_one_device(step: TrainStep, augmentation: Augmentation) -> CompiledStep:
    """Compile a step for the default device."""
    return CompiledStep(
        jax.jit(augmentation), jax.jit(step, donate_argnums=0, compiler_options=backend.compiler_options())
    )


def over_data(step: TrainStep, augmentation: Augmentation, devices: Sequence) -> CompiledStep:
    """Compile a step by `jax.pmap` for devices of one process. Each takes its share of the episodes.

    The episodes have a leading axis of the devices. The state is copied to each device.
    """
    options = {"axis_name": DATA, "devices": devices}
    update = jax.pmap(step.over(DATA), in_axes=(None, 0), out_axes=None, donate_argnums=0, **options)
    return CompiledStep(jax.pmap(augmentation, **options), update)


def over_mesh(step: TrainStep, augmentation: Augmentation, mesh: Mesh) -> CompiledStep:
    """Compile a step by `jax.shard_map`: episodes over the mesh axis DATA, their support sets over SUPPORT."""
    options = {"mesh": mesh, "check_vma": False}
    # Augmentation sees whole episodes, because all entries of one share some of its random draws.
    augment = jax.shard_map(augmentation, in_specs=P(DATA), out_specs=P(DATA), **options)
    update = jax.shard_map(step.over(DATA, SUPPORT), in_specs=(P(), EPISODES), out_specs=(P(), P()), **options)
    return CompiledStep(
        jax.jit(augment), jax.jit(update, donate_argnums=0, compiler_options=backend.compiler_options())
    )
