"""Where a run computes: on one device, on several by `jax.pmap`, or, with support sets spread over devices or with
several processes, on a mesh by `jax.shard_map`."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.parallel import DATA, SUPPORT
from universeg_jax.train.state import TrainState
from universeg_jax.train.step import Step, on_one_device, over_data, over_mesh


@dataclass(frozen=True)
class Devices:
    """Devices of all processes together.

    Attributes:
        data: how many share the episodes of a batch.
        support: how many share the support set of an episode. More than one is for support sets larger than a device.
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
        """All there are.

        Raises:
            InputError: they cannot be shared out to support sets of `support` devices each.
        """
        if support < 1 or jax.device_count() % support:
            raise InputError(f"support={support}: pass a number that divides the {jax.device_count()} devices")
        return cls(jax.device_count() // support, support)

    @property
    def mesh(self) -> Mesh:
        """The devices, those of a process in a row, as it reads whole episodes."""
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        grid = np.array(devices[: self.data * self.support]).reshape(self.data, self.support)
        # The mesh of `jax.pmap` has one axis; states on another would have it compiled twice.
        return Mesh(grid[:, 0], (DATA,)) if self._by_pmap else Mesh(grid, (DATA, SUPPORT))

    def step(self, make: Callable[..., Step], augment: Callable[[Episode], Episode]) -> Step:
        """A training step over these devices."""
        if self._single:
            return on_one_device(make, augment)
        return (
            over_data(make, augment, list(self.mesh.devices)) if self._by_pmap else over_mesh(make, augment, self.mesh)
        )

    def check(self, *, batch_size: int, support_size: int) -> None:
        """Raise unless a batch can be shared evenly.

        Raises:
            InputError: it cannot.
        """
        shared = {"batch_size": (batch_size, self.data), "support_size": (support_size, self.support)}
        for name, (size, number) in shared.items():
            if size % number:
                raise InputError(f"{name}={size}: {number} devices cannot share it evenly; pass a multiple of {number}")

    def replicate(self, state: TrainState) -> TrainState:
        """A state on every device."""
        if self._single:
            return jax.tree.map(jnp.asarray, state)
        return jax.device_put(state, NamedSharding(self.mesh, P()))

    def put(self, batch: Episode) -> tuple[Episode, Episode]:
        """This process's episodes as they are, and on the devices as the step takes them."""
        if self._single:
            return batch, jax.device_put(batch)
        if self._by_pmap:
            return batch, Episode(*(np.asarray(x).reshape(self.data, -1, *x.shape[1:]) for x in batch))
        episodes = NamedSharding(self.mesh, P(DATA))
        return batch, Episode(*(jax.make_array_from_process_local_data(episodes, np.asarray(x)) for x in batch))

    def fetch(self, value: jax.Array) -> np.ndarray:
        """A value that all devices hold."""
        return np.asarray(value.addressable_data(0))

    @property
    def _single(self) -> bool:
        return self.data == self.support == 1

    @property
    def _by_pmap(self) -> bool:
        """Of several processes each would have a state of its own, which no checkpoint can hold."""
        return self.support == 1 and jax.process_count() == 1
