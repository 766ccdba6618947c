"""Output of a command: a folder of results, all of them or none, and lines on the console.

The folder is checked before any work, and one process at a time writes to it. A full, closed or narrow
console never ends a command.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError, listing
from universeg_jax.util.files import locked, remove_left, temporary_folder

UNFINISHED = "unfinished-results"
"""Folder in OUT of complete results that a killed run was moving to their places. The next run finishes it."""

_REMOVE = ".remove"  # in it: outputs of an earlier run that the killed run was removing


def check_outputs(out: Path, files: Sequence[str], *, overwrite: bool) -> None:
    """Refuse, before any work, a folder that cannot take the outputs.

    Args:
        out: the folder, which need not exist.
        files: the paths of all outputs, relative to it.
        overwrite: whether outputs of an earlier run may be replaced.

    Raises:
        InputError: the folder is a file, outputs exist (they are named), or other files or folders have their names.
    """
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place}: is a file; the output folder must be a folder or not exist yet")
    if (out / UNFINISHED).is_dir():
        with locked(out, again=True):
            _finish(out)
    for folder in {str(Path(file).parent) for file in files}:
        if os.path.lexists(out / folder) and not (out / folder).is_dir():
            raise InputError(f"{out / folder}: is a file, where a folder of that name is to be written: move it away")
    for file in files:
        if (out / file).is_dir():
            raise InputError(f"{out / file}: is a folder, where a file of that name is to be written: move it away")
    if not overwrite:
        _check_new(out, files)


def check_apart(out: Path, inputs: Sequence[Path], files: Sequence[str]) -> None:
    """Refuse an output folder inside an input folder, and inputs at the paths of outputs.

    Raises:
        InputError: one of them lies there; the message names both.
    """
    written = {(out / file).parent.resolve() for file in files} - {out.resolve()}
    for given in inputs:
        if given.is_dir() and out.resolve().is_relative_to(given.resolve()):
            raise InputError(f"--out {out} lies in {given}, which holds inputs; choose a folder outside of it")
        if any(given.resolve().is_relative_to(place) for place in written):
            raise InputError(f"--out {out} would write where the input {given} lies; choose another --out")


@contextmanager
def own_output(out: Path) -> Iterator[None]:
    """Make an output folder and keep other processes out of it; finish what a killed run was moving into it.

    At the end, the folder and its new parents are removed if nothing is in them.

    Raises:
        InputError: the folder cannot be made, or another process is writing to it.
    """
    absent = [place for place in (out, *out.parents) if not place.exists()]
    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(out, again=True))
            stack.callback(_remove_empty, absent)
            _finish(out)
            remove_left(out)
        except OSError as error:
            raise InputError(f"{out}: cannot write there ({error.strerror}); choose another --out") from None
        yield


@contextmanager
def complete_or_nothing(out: Path, *, new: Sequence[str] = (), outputs: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a temporary folder whose files move into `out` when the block ends without an exception.

    On any exception, Ctrl-C included, `out` is as it was. A killed process leaves all old files, or the folder
    `UNFINISHED`, which says that results are incomplete; the next run finishes it. Files of the same name in `out` are
    replaced, others stay. As long as the block lasts, no other process can write to `out` in this way.

    Args:
        new: files, relative to `out`, that must not exist.
        outputs: files, relative to `out`, that an earlier run may have left: those that this run does not make are
            removed.

    Raises:
        InputError: the folder cannot be made, another process is writing to it, or `new` files exist.
    """
    with own_output(out), ExitStack() as stack:
        _check_new(out, new)
        try:
            folder = stack.enter_context(temporary_folder(out))
        except OSError as error:
            raise InputError(f"{out}: cannot write there ({error.strerror}); choose another --out") from None
        yield folder
        left = [file for file in outputs if not (folder / file).exists()]
        (folder / _REMOVE).write_text("\n".join(left), encoding="utf-8")
        folder.rename(out / UNFINISHED)  # from here on, the results are the new ones
        _finish(out)


def _finish(out: Path) -> None:
    """Move complete results to their places. Every step can be repeated, so a kill at any moment does no harm."""
    results = out / UNFINISHED
    if not (results / _REMOVE).is_file():
        return
    for file in sorted(path for path in results.rglob("*") if path.is_file() and path != results / _REMOVE):
        place = out / file.relative_to(results)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    for name in (results / _REMOVE).read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(results)


def _check_new(out: Path, files: Sequence[str]) -> None:
    existing = [file for file in files if os.path.lexists(out / file)]
    if existing:
        raise InputError(
            f"{out}: already holds {listing(existing)}; pass --overwrite to replace them, or another --out"
        )


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove empty folders that this run made, the innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def printable(text: str) -> str:
    """Escape control characters of a terminal, such as colours in the name of a file; lines stay lines."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class PatientStream:
    """A stream that escapes characters which its target cannot show, and remembers errors instead of raising them.

    Args:
        target: a text stream; None if it was closed when the process started.

    Attributes:
        failure: the first error of the target, None without.
    """

    def __init__(self, target: Any):
        self._target = target
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def write(self, text: str) -> int:
        if self._target is None or self.failure:
            return len(text)
        try:
            self._target.write(text)
        except UnicodeEncodeError as error:
            self._target.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError as error:
            self._fail(error)
        except ValueError as error:  # the target was closed
            self._fail(OSError(*error.args))
        return len(text)

    def flush(self) -> None:
        if self._target is None or self.failure:
            return
        try:
            self._target.flush()
        except OSError as error:
            self._fail(error)
        except ValueError as error:
            self._fail(OSError(*error.args))

    def _fail(self, error: OSError) -> None:
        self.failure = error
        # Python flushes the target when it ends, which would fail.
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._target.fileno())
            os.close(nowhere)


@contextmanager
def patient_output() -> Iterator[PatientStream]:
    """Make standard output and standard error patient for a block; yields standard output."""
    out, err = PatientStream(sys.stdout), PatientStream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):  # type: ignore[type-var]
        try:
            yield out
        finally:
            out.flush()
            err.flush()
