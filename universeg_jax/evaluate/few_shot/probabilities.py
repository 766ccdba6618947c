"""Keep the probabilities of a method on disk, so that blends and filters of them cost nearly nothing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import FewShotMethod
from universeg_jax.util.files import whole_file


@dataclass(frozen=True, eq=False)
class StoredMethod:
    """A method whose probabilities are kept in a folder, in half precision.

    Results are the same with and without a stored file. Name and identity are taken from the method.

    Args:
        method: computes unknown probabilities.
        folder: receives one file for each organ of a scan. Several methods may share it.

    Raises:
        InputError: a file of the folder is damaged, or cannot be written.
    """

    method: FewShotMethod
    folder: Path

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def identity(self) -> str:
        return self.method.identity

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        """Return the probability of the organ in each query slice."""
        file = self.folder / f"{self._key(support, query)}.npy"
        if file.exists():
            try:
                return np.load(file, allow_pickle=False).astype(np.float32)
            except (OSError, ValueError, EOFError) as error:
                raise InputError(f"{file}: cannot be read ({error}); delete it to compute it again") from None
        probability: np.ndarray = self.method.segment(support, query).astype(np.float16)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as unfinished, unfinished.open("wb") as stream:
                np.save(stream, probability)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror}); pass another folder") from None
        return probability.astype(np.float32)

    def _key(self, support: OrganSlices, query: OrganSlices) -> str:
        digest = hashlib.sha256(self.identity.encode())
        for array in (support.images, support.masks, support.slices, query.images, query.slices):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:32]
