"""The folder of a run: nobody else's, and written to by one run at a time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from universeg_jax.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CHECKPOINTS, METRICS, TENSORBOARD, PICTURES = "checkpoints", "metrics.jsonl", "tensorboard", "pictures"
BEST, LAST = "best", "last"


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Make the folder of a run, or go on in it, with no other run in it as long as the block lasts.

    Of several processes the first does it for all.

    Raises:
        InputError: it is no folder, holds something that the run would replace, or another run is in it.
    """
    if jax.process_index() > 0:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; choose a folder as --out")
    others = [name for name in (METRICS, TENSORBOARD, PICTURES, BEST, LAST) if (folder / name).exists()]
    if others and not (folder / CHECKPOINTS).is_dir():
        raise InputError(
            f"{folder}: holds {', '.join(others)} but no {CHECKPOINTS}/, so it is not the folder of a run; choose "
            "another --out, or move them away"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        # A kill while weights were replaced leaves them behind.
        for name in (BEST, LAST):
            for rest in folder.glob(f".{name}-*"):
                shutil.rmtree(rest, ignore_errors=True)
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The lock is the system's, so it goes with the process however that ends."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"{folder}: another run is writing to it; wait for it, or choose another --out") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(handle)
