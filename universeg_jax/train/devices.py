"""Choose the devices of a run, and place batches and states on them.

One device takes `jax.jit`; several devices of one process take `jax.pmap`. Several processes, and support sets that are
split over devices, take `jax.shard_map` on a mesh.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.parallel import DATA, SUPPORT
from universeg_jax.train.config import Stage
from universeg_jax.train.state import TrainState
from universeg_jax.train.step import Augmentation, CompiledStep, TrainStep, on_one_device, over_data, over_mesh


@dataclass(frozen=True)
class Devices:
    """The devices of all processes together.

    Attributes:
        data: number of devices that share the episodes of a batch.
        support: number of devices that share the support set of an episode. Use more than one for support sets that do
            not fit on a device.

    Raises:
        InputError: the numbers do not fit the devices that are there.
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
        # The mesh of `jax.pmap` has one axis; states on another would have it compiled twice.
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
        """Return the episodes of this process as they are, and on the devices as the step takes them."""
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
        """Tell whether `jax.pmap` suits. With it, each of several processes would have a state of its own."""
        return self.support == 1 and jax.process_count() == 1
