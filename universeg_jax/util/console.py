"""Print so that no work is lost: a full, closed or narrow console never ends a command."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any


def printable(text: str) -> str:
    """Escape what could steer a terminal, such as colours in the name of a file; lines stay lines."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class PatientStream:
    """A stream that escapes characters which its target cannot show, and remembers errors instead of raising them.

    Args:
        target: a text stream; None where the process was started with it closed.

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
        # Python flushes the target when it ends, and would fail then.
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
