"""What images were encoded to: the draws of an ensemble share most of theirs, and batches are filled up with one."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")  # of arrays (B,...)

CAPACITY = 256 * 2**20  # bytes: about 16 images of LiteMedSAM, a batch of targets


class Memory:
    """Results for single images, by their content; beyond `CAPACITY` those that were asked for longest ago are lost.

    They are of one function: it knows nothing of weights that are changed in place.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple, Tree] = OrderedDict()

    def of(self, images: np.ndarray, *about: object, compute: Callable[[np.ndarray], Tree]) -> Tree:
        """`compute(images)`, a tree of arrays (B,...); it is asked for those images alone that are not known.

        Args:
            images: (B,H,W,C), at least one.
            about: what else the results depend on.
        """
        keys = [(hashlib.sha1(np.ascontiguousarray(image)).digest(), str(image.dtype), *about) for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            computed = compute(images[list(new.values())])
            for i, key in enumerate(new):
                self._known[key] = jax.tree.map(lambda x, i=i: x[i : i + 1], computed)
        found = []
        for key in keys:
            found.append(self._known[key])
            self._known.move_to_end(key)
        while len(self._known) > 1 and sum(map(_size, self._known.values())) > CAPACITY:
            self._known.popitem(last=False)
        return computed if len(new) == len(keys) else jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)


def _size(result: Tree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(result))
