"""Write files and folders whole or not at all, lock folders, and compute digests of files."""

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from universeg_jax.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_regular(path: str | os.PathLike, *, error: type[InputError] = InputError) -> int:
    """Check that a path leads to a regular file, before it is opened: opening a pipe may never end.

    Returns:
        The size of the file in bytes.

    Raises:
        InputError: nothing is there, or something else than a file; of the class `error`.
    """
    try:
        found = os.stat(path)
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from None
    except ValueError as problem:  # a name with a zero byte
        raise error(f"{path!r}: cannot be read: {problem}") from None
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}; pass a regular file")
    return found.st_size


TEMPORARY = ".uj-"
"""Start of the names of unfinished files and folders. They are short, so that they fit where the final name does."""


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path to write to, in the folder of `path`; the file takes its name when the block ends.

    On any exception, Ctrl-C included, the temporary file is removed, and a file at `path` is as it was.
    """
    path = Path(path)
    unfinished = _temporary_in(path.parent)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, text: str) -> None:
    """Write a text file (UTF-8) that is never seen half written."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: str | os.PathLike, *, replace: bool = True) -> Iterator[Path]:
    """Yield a path to make a folder at; the folder takes its name when the block ends, and replaces an older one.

    Without `replace`, a folder that another process made meanwhile raises OSError.

    On any exception, Ctrl-C included, nothing is left of the new folder, and the older one is as it was. After a kill
    between the two moves, `remove_left` puts the older one back.
    """
    path = Path(path).absolute()
    parent = next(place for place in path.parents if place.exists())
    with temporary_folder(parent) as temporary:
        new, old = temporary / "new", temporary / "old"
        try:
            yield new
            path.parent.mkdir(parents=True, exist_ok=True)
            if replace and path.exists():
                (temporary / _NAME).write_text(path.name, encoding="utf-8")
                path.rename(old)
            new.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a folder in `parent`, and remove it when the block ends. Remove those that killed processes left there."""
    remove_left(parent)
    while True:
        folder = _temporary_in(parent)
        folder.mkdir()
        handle = _try_lock(folder)
        if handle is None or _is_open_at(handle, folder):
            break  # another process that cleans up may have removed it before it was locked
        os.close(handle)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def remove_left(parent: Path) -> None:
    """Remove the temporary folders in `parent` that no living process has locked, and put back what they replaced."""
    for folder in parent.glob(f"{TEMPORARY}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        handle = _try_lock(folder)
        if handle is not None:
            _put_back(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


_NAME = "name"  # in a temporary folder: name of the older folder that was moved to "old"


def _put_back(folder: Path) -> None:
    """Put back a folder that a killed process was replacing."""
    with suppress(OSError):
        place = folder.parent / (folder / _NAME).read_text(encoding="utf-8", errors="surrogateescape")
        if not place.exists():
            (folder / "old").rename(place)


@contextmanager
def locked(folder: Path, *, wait: bool = False, again: bool = False) -> Iterator[None]:
    """Keep others out of this block for the same folder, which must exist.

    The lock belongs to the system: it ends with the process. There is none on Windows, nor on a file system without
    locks.

    Args:
        wait: wait for the other process, instead of raising.
        again: enter too if this process holds the lock.

    Raises:
        InputError: the lock is held.
    """
    identity = _identity(folder)
    if fcntl is None or (again and identity in _HELD):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(f"{folder}: another run is writing to it; wait for it, or choose another --out") from None
        except OSError:  # a file system without locks
            pass
        _HELD.add(identity)
        yield
    finally:
        _HELD.discard(identity)
        os.close(handle)


_HELD: set[tuple[int, int]] = set()


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _temporary_in(parent: Path) -> Path:
    return parent / f"{TEMPORARY}{uuid.uuid4().hex[:8]}"


def _try_lock(folder: Path) -> int | None:
    """Lock a folder and return the open handle; None if another process holds it or there are no locks."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _is_open_at(handle: int, folder: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), folder.stat())
    return False


@dataclass(frozen=True)
class Sha256:
    """The SHA-256 of a file, in hexadecimal."""

    value: str

    @classmethod
    def of(cls, path: str | os.PathLike) -> Self:
        with open(path, "rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest())

    def __str__(self) -> str:
        return f"sha256 {self.value}"


@dataclass(frozen=True)
class GitBlobId:
    """The id git gives the content of a file: sha1("blob <size>\\0" + content), in hexadecimal."""

    value: str

    @classmethod
    def of(cls, path: str | os.PathLike) -> Self:
        found = hashlib.sha1(b"blob %d\0" % Path(path).stat().st_size, usedforsecurity=False)
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: found)
        return cls(found.hexdigest())

    def __str__(self) -> str:
        return f"git blob id {self.value}"


Digest = Sha256 | GitBlobId


HASHED = 2**20
"""Largest file, in bytes, whose content counts for `content_version`; larger files count by size and time."""


def content_version(path: Path) -> tuple[Any, ...]:
    """Return values that change with the content of a file: size, time, and the digest of a small file.

    For a folder, return the names and versions of its files without hidden ones. For an unreadable path, return ().
    """
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.name[0] != ".")
            return tuple((file.name, *content_version(file)) for file in files)
        found = path.stat()
        small = path.is_file() and found.st_size <= HASHED
        return found.st_size, found.st_mtime_ns, Sha256.of(path).value if small else ""
    except OSError:
        return ()  # reading it will show the problem


def content_digest(path: Path) -> str:
    """Return a short digest of `content_version`."""
    return hashlib.sha256(repr(content_version(path)).encode()).hexdigest()[:12]
