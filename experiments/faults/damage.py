"""Flip bits in files of every kind, and read them."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.faults.record import Tries
from universeg_jax.errors import InputError


def flipped(
    name: str,
    folder: Path,
    read: Callable[[Path], Any],
    place: Path,
    *,
    pattern: str,
    flips: int,
    checked: bool,
) -> Tries:
    """Flip one bit in a file, again and again, and read the folder.

    Args:
        name: kind of the file.
        folder: whole data.
        read: reads a copy of the folder; returns what it read, as a tree of arrays and plain values.
        place: folder to work in.
        pattern: files of the folder that are damaged in turn.
        checked: whether the format has a checksum.
    """
    expected, rng, outcomes = read(folder), random.Random(0), []
    for _ in range(flips):
        copy = place / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        file = rng.choice(sorted(path for path in copy.rglob(pattern) if path.is_file()))
        content = bytearray(file.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        outcomes.append(_outcome(read, copy, expected))
    promise = "the same is read, or the file is refused by name"
    if not checked:
        promise += "; the format has no checksum, so other values may be read"
    return Tries.of("damage", name, promise, outcomes)


def _outcome(read: Callable[[Path], Any], copy: Path, expected: Any) -> str:
    try:
        found = read(copy)
    except InputError as error:
        return "" if str(copy) in str(error) else f"refused without a name: {str(error)[:80]}"
    except Exception as error:
        return f"traceback: {type(error).__name__}"
    return "" if _equal(expected, found) else "other values"


def _equal(one: Any, other: Any) -> bool:
    first, second = jax.tree.flatten(one), jax.tree.flatten(other)
    return first[1] == second[1] and all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
