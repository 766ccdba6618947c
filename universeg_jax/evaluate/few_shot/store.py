"""Keep encodings of slices and probabilities of methods on disk.

Measurements of the same weights then encode each slice once, and blends and filters cost nearly nothing.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from universeg_jax.data.stacks import OrganSlices
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import FewShotMethod
from universeg_jax.evaluate.methods import digest
from universeg_jax.models.protosam.encoder import Encoded, EncoderLike, FeatureExtractor
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.sam.model import SAM
from universeg_jax.util.files import whole_file


class StoredEncoder:
    """An encoder of ProtoSAM whose results are kept in memory and, on request, in a folder.

    Args:
        encoder: computes unknown encodings.
        folder: receives one file for each image, about 14 MB with LiteMedSAM; None keeps encodings in memory only.
        capacity: most bytes in memory.

    Raises:
        InputError: a file of the folder is damaged, or cannot be written.
    """

    def __init__(self, encoder: EncoderLike, folder: Path | None, *, capacity: int):
        self._encoder, self._folder, self._capacity = encoder, folder, capacity
        self._known: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def sam(self) -> SAM:
        """The network that refines."""
        return self._encoder.sam

    @property
    def extractor(self) -> FeatureExtractor | None:
        """The network of the features, if it is not the SAM."""
        return self._encoder.extractor

    def __call__(self, images: np.ndarray, *, embedding: bool) -> Encoded:
        """Encode images (B,H,W,3), with or without the embedding. The store always holds both."""
        pairs = [self._of(np.asarray(image)) for image in images]
        features, embeddings = (jnp.asarray(np.stack(arrays)) for arrays in zip(*pairs, strict=True))
        return Encoded(features, embeddings if embedding else None)

    def forget(self, images: np.ndarray) -> None:
        """Do nothing: all results are kept."""

    def _of(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = hashlib.sha256(str(image.dtype).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()[:32]
        if key not in self._known:
            self._known[key] = self._stored(key) or self._computed(key, image)
        self._known.move_to_end(key)
        while len(self._known) > 1 and sum(a.nbytes + b.nbytes for a, b in self._known.values()) > self._capacity:
            self._known.popitem(last=False)
        return self._known[key]

    def _stored(self, key: str) -> tuple[np.ndarray, np.ndarray] | None:
        if self._folder is None or not (file := self._folder / f"{key}.npz").exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return arrays["features"], arrays["embedding"]
        except Exception as error:  # a damaged archive makes zipfile and numpy raise almost anything
            raise InputError(f"{file}: cannot be read ({error}); delete it to compute it again") from None

    def _computed(self, key: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        encoded = self._encoder(image[None], embedding=True)
        pair = np.asarray(encoded.features)[0], np.asarray(encoded.embedding)[0]
        if self._folder is not None:
            try:
                with whole_file(self._folder / f"{key}.npz") as unfinished, unfinished.open("wb") as stream:
                    np.savez(stream, features=pair[0], embedding=pair[1])
            except OSError as error:
                raise InputError(f"{self._folder}: cannot be written ({error.strerror}); pass another folder") from None
        return pair


def store_encodings(model: ProtoSAM, folder: Path | None, *, capacity: int) -> None:
    """Let a ProtoSAM keep its encodings, in a sub-folder for its encoder. The model is changed in place."""
    own = None if folder is None else folder / digest(model.encoder)
    model.encoder = StoredEncoder(model.encoder, own, capacity=capacity)


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
