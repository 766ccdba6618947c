"""Keep JAX's folder of compiled code sound: remove entries that are unfinished or damaged.

JAX writes an entry NAME-cache, and then NAME-atime with the time of its last use. It has no checksum: a damaged entry
may end the process, or compute other values. NAME-crc holds the checksum that `record_entries` adds.
"""

import zlib
from contextlib import suppress
from pathlib import Path

from universeg_jax.util.files import write_whole

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
