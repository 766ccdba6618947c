"""Write files and folders whole or not at all, and compute digests of files."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from universeg_jax.errors import InputError, listing


def check_outputs(out: Path, files: Sequence[str], *, overwrite: bool) -> None:
    """Refuse, before any work, a folder that the outputs cannot be put in.

    Args:
        out: the folder, which need not exist.
        files: the paths of all outputs, relative to it.
        overwrite: whether outputs of an earlier run may be replaced.

    Raises:
        InputError: the folder is a file, outputs exist (they are named), or other things are in their way.
    """
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place}: is a file; the output folder must be a folder or not exist yet")
    for folder in {str(Path(file).parent) for file in files}:
        if os.path.lexists(out / folder) and not (out / folder).is_dir():
            raise InputError(f"{out / folder}: is a file, where a folder of that name is to be written: move it away")
    for file in files:
        if (out / file).is_dir():
            raise InputError(f"{out / file}: is a folder, where a file of that name is to be written: move it away")
    existing = [file for file in files if os.path.lexists(out / file)]
    if existing and not overwrite:
        raise InputError(
            f"{out}: already holds {listing(existing)}; pass --overwrite to replace them, or another --out"
        )


def check_apart(out: Path, inputs: Sequence[Path], files: Sequence[str]) -> None:
    """Refuse an output folder inside an input folder, and inputs that lie where outputs are written.

    Raises:
        InputError: naming the two.
    """
    written = {(out / file).parent.resolve() for file in files} - {out.resolve()}
    for given in inputs:
        if given.is_dir() and out.resolve().is_relative_to(given.resolve()):
            raise InputError(f"--out {out} lies in {given}, which holds inputs; choose a folder outside of it")
        if any(given.resolve().is_relative_to(place) for place in written):
            raise InputError(f"--out {out} would write where the input {given} lies; choose another --out")


@contextmanager
def complete_or_nothing(out: Path, *, outputs: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary folder whose files move into `out` when the block is left without an exception.

    It lies in `out`, or beside it if `out` is new, so that moving is renaming. On any exception, Ctrl-C
    included, it is removed and `out` is as it was. Files of the same name in `out` are replaced, others stay.

    Args:
        outputs: files, relative to `out`, that an earlier run may have left: those not made now are removed.

    Raises:
        InputError: the folder cannot be made.
    """
    parent = next(place for place in (out.absolute(), *out.absolute().parents) if place.is_dir())
    staging = parent / f".{out.name}-{uuid.uuid4().hex[:8]}"
    try:
        staging.mkdir()
    except OSError as error:
        raise InputError(f"{parent}: cannot write there ({error.strerror}); choose another --out") from None
    try:
        yield staging
        left = [file for file in outputs if not (staging / file).exists()]
        _move(staging, out)
        for file in left:
            (out / file).unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, out: Path) -> None:
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        staging.rename(out)
        return
    for file in sorted(path for path in staging.rglob("*") if path.is_file()):
        place = out / file.relative_to(staging)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


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
