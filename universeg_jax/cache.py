"""Folder of files that are kept between runs: downloaded weights, and compiled code.

JAX writes an entry NAME-cache of compiled code, and then NAME-atime with the time of its last use. It has no checksum:
a damaged entry may end the process, or compute other values. NAME-crc holds the checksum that `record_entries` adds.
"""

import atexit
import os
import shutil
import tempfile
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import platformdirs

from universeg_jax.util.files import write_whole

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


ENTRY, TIME, CHECKSUM = "-cache", "-atime", "-crc"

PATIENCE = 1.0
"""Seconds to wait for another process that is writing an entry."""


def remove_unsound(folder: Path) -> None:
    """Remove entries that are damaged, and those that a killed process left unfinished.

    An unfinished entry has no time. JAX reads the times of all entries before it writes one, and fails without. Its
    lock keeps entries that another process is writing.
    """
    names = _names(folder, ENTRY)
    for name in _names(folder, CHECKSUM) - names:  # JAX removed the entry to make room
        _remove(folder / f"{name}{CHECKSUM}")
    for name in damaged_entries(folder):
        _remove(*(folder / f"{name}{ending}" for ending in (ENTRY, TIME, CHECKSUM)))
    if not names - _names(folder, TIME):
        return
    import filelock

    with suppress(OSError, filelock.Timeout), filelock.FileLock(folder / ".lockfile", timeout=PATIENCE):
        for name in _names(folder, ENTRY) - _names(folder, TIME):
            _remove(folder / f"{name}{ENTRY}")


def damaged_entries(folder: Path) -> list[str]:
    """Return the names of entries that differ from their checksum."""
    found = []
    for name in sorted(_names(folder, CHECKSUM) & _names(folder, ENTRY)):
        with suppress(OSError):  # another process has just removed it
            if (folder / f"{name}{CHECKSUM}").read_bytes() != _checksum(folder / f"{name}{ENTRY}").encode():
                found.append(name)
    return found


def record_entries(folder: Path) -> None:
    """Write the checksums of finished entries that have none."""
    for name in (_names(folder, ENTRY) & _names(folder, TIME)) - _names(folder, CHECKSUM):
        with suppress(OSError):
            write_whole(folder / f"{name}{CHECKSUM}", _checksum(folder / f"{name}{ENTRY}"))


def _names(folder: Path, ending: str) -> set[str]:
    return {path.name.removesuffix(ending) for path in folder.glob(f"*{ending}")}


def _checksum(file: Path) -> str:
    return f"{zlib.crc32(file.read_bytes()):08x}"


def _remove(*files: Path) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
