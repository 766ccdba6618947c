"""Folder of files that are kept between runs: downloaded weights, and compiled code."""

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import platformdirs

from universeg_jax.util.compiled_code import damaged_entries, record_entries, remove_unsound

ROOM = 2**27
"""Bytes that must be free in the cache folder before compiled code is written to it."""


def cache_folder() -> Path:
    """Return the folder: $UNIVERSEG_JAX_CACHE, or the user's cache folder."""
    return Path(os.environ.get("UNIVERSEG_JAX_CACHE") or platformdirs.user_cache_dir("universeg-jax"))


def keep_compiled_code() -> None:
    """Let JAX keep the code that it compiles, at most a gigabyte; call it before JAX is imported.

    Compiling takes much of the time of a short run. If JAX's own variable names a folder, nothing is changed: another
    limit would harm the code in it. If the folder cannot be made, nothing is kept. If it is read-only or its disk is
    nearly full, compiled code is read from it and not written. Unfinished and damaged code is removed, or the folder is
    not used.
    """
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if writable := _takes_files(folder):
        remove_unsound(folder)
        atexit.register(record_entries, folder)
    elif damaged_entries(folder):
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    if writable:
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    else:
        # JAX keeps a limit by files that it writes at every reading, so without a limit it only reads.
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = "-1"
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(10**9)


def _takes_files(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return shutil.disk_usage(folder).free >= ROOM
    except OSError:
        return False
