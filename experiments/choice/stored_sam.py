"""A SAM that encodes every image once, over all runs."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.models.sam.image_encoder import Features
from universeg_jax.models.sam.model import SAM


class StoredSAM:
    """A SAM whose encodings are kept in a folder, in float16, one file for each image.

    Args:
        sam: the network.
        folder: one for each network.
    """

    def __init__(self, sam: SAM, folder: Path):
        self.config, self.decode, self._sam, self._folder = sam.config, sam.decode, sam, folder
        folder.mkdir(parents=True, exist_ok=True)

    def encode(self, images) -> Features:
        """Features of images (B,H,W,3), as `SAM.encode`."""
        images = np.asarray(images)
        files = [self._folder / f"{hashlib.sha1(np.ascontiguousarray(image)).hexdigest()}.npz" for image in images]
        unknown = [i for i, file in enumerate(files) if not file.exists()]
        for i in unknown:
            features = self._sam.encode(images[i : i + 1])
            leaves = [np.asarray(leaf, np.float16) for leaf in jax.tree.leaves(features)]
            if not all(np.isfinite(leaf).all() for leaf in leaves):
                raise ValueError("a feature does not fit into float16")
            part = files[i].with_suffix(".part.npz")
            np.savez(part, *leaves)
            part.replace(files[i])
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *map(self._load, files))

    def _load(self, file: Path) -> Features:
        with np.load(file) as archive:
            leaves = [jnp.asarray(archive[name], jnp.float32) for name in archive.files]
        embedding, early, *earlier = leaves  # in the order of the fields
        return Features(embedding, early, tuple(earlier))
