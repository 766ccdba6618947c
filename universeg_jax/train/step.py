"""Take one training step, written once for one device and for many, and place batches and states on the devices.

`TrainStep` sees the episodes and support entries that its device holds. It takes the gradient of its own loss and then
the mean over the devices. A mean of the losses inside the differentiated function would scale the gradients by a wrong
factor, without any error.

`on_one_device`, `over_data` and `over_mesh` compile it for the devices of a run, which `Devices` chooses. One device
takes `jax.jit`; several devices of one process take `jax.pmap`. Several processes, and support sets that are split over
devices, take `jax.shard_map` on a mesh.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from universeg_jax import backend
from universeg_jax.data.augment import Policy, augment_episodes
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.parallel import DATA, SUPPORT
from universeg_jax.shapes import Array, Float
from universeg_jax.train.config import Stage
from universeg_jax.train.learner import Parameters, TrainState

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
        # A new average forgets its random initial values faster.
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


@dataclass(frozen=True)
class Devices:
    """The devices of all processes together.

    Attributes:
        data: number of devices that share the episodes of a batch.
        support: number of devices that share the support set of an episode. Use more than one for support sets that do
            not fit on a device.

    Raises:
        InputError: the numbers do not fit the available devices.
    """

    data: int
    support: int = 1

    def __post_init__(self):
        number, several = self.data * self.support, jax.process_count() > 1
        if not (self.data >= 1 and self.support >= 1 and number <= jax.device_count()):
            raise InputError(f"devices {self.data} x {self.support}: there are {jax.device_count()}")
        if several and number != jax.device_count():
            raise InputError(f"devices {self.data} x {self.support}: several processes take all {jax.device_count()}")
        if several and jax.local_device_count() % self.support:
            raise InputError(
                f"support={self.support}: a support set stays within a process, and each has "
                f"{jax.local_device_count()} devices; pass a number that divides them"
            )

    @classmethod
    def all(cls, *, support: int = 1) -> "Devices":
        """Take all devices.

        Args:
            support: number of devices that share a support set.

        Raises:
            InputError: `support` does not divide the number of devices.
        """
        if support < 1 or jax.device_count() % support:
            raise InputError(f"support={support}: pass a number that divides the {jax.device_count()} devices")
        return cls(jax.device_count() // support, support)

    @property
    def mesh(self) -> Mesh:
        """The devices in order of their process, because a process reads whole episodes."""
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        grid = np.array(devices[: self.data * self.support]).reshape(self.data, self.support)
        # The mesh of `jax.pmap` has one axis. With states on another mesh, it would compile twice.
        return Mesh(grid[:, 0], (DATA,)) if self._by_pmap else Mesh(grid, (DATA, SUPPORT))

    def compile(self, step: TrainStep, augmentation: Augmentation) -> CompiledStep:
        """Compile a training step for these devices."""
        if self._single:
            return on_one_device(step, augmentation)
        if self._by_pmap:
            return over_data(step, augmentation, list(self.mesh.devices))
        return over_mesh(step, augmentation, self.mesh)

    def check(self, stage: Stage) -> None:
        """Check that the devices can share every batch of a stage evenly.

        Raises:
            InputError: they cannot.
        """
        support = "support_deck" if stage.support_deck else "support_size"
        shared = [("batch_size", stage.batch_size, self.data)]
        shared += [(support, size, self.support) for size in stage.support_lengths]
        for name, size, number in shared:
            if size % number:
                raise InputError(f"{name}={size}: {number} devices cannot share it evenly; pass a multiple of {number}")

    def replicate(self, state: TrainState) -> TrainState:
        """Copy a state to every device."""
        if self._single:
            return jax.tree.map(jnp.asarray, state)
        return jax.device_put(state, NamedSharding(self.mesh, P()))

    def put(self, batch: Episode) -> tuple[Episode, Episode]:
        """Return the episodes of this process unchanged, and the same on the devices for the step."""
        if self._single:
            return batch, jax.device_put(batch)
        if self._by_pmap:
            return batch, Episode(*(np.asarray(x).reshape(self.data, -1, *x.shape[1:]) for x in batch))
        episodes = NamedSharding(self.mesh, P(DATA))
        return batch, Episode(*(jax.make_array_from_process_local_data(episodes, np.asarray(x)) for x in batch))

    def fetch(self, value: jax.Array) -> np.ndarray:
        """Read a value that all devices hold."""
        return np.asarray(value.addressable_data(0))

    @property
    def _single(self) -> bool:
        return self.data == self.support == 1

    @property
    def _by_pmap(self) -> bool:
        """Tell whether to use `jax.pmap`. With it, each of several processes would have a state of its own."""
        return self.support == 1 and jax.process_count() == 1
