"""Check names of files and classes before any work, so that each can be written, printed and stored later."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError

LONGEST = 200
"""Characters of the longest name of a class or a dataset."""


def check_name(name: Any, place: str) -> str:
    """Check the name of a class: text of 1 to `LONGEST` characters, without control characters.

    Args:
        place: file or option that gives the name, for the message.

    Returns:
        The name.

    Raises:
        InputError: naming the place, and the beginning of the name.
    """
    if not isinstance(name, str):
        raise InputError(f"{place}: the name {str(name)[:40]!r} is no text")
    if not name.strip():
        raise InputError(f"{place}: a name is empty")
    if len(name) > LONGEST:
        raise InputError(
            f"{place}: the name {name[:40]!a}... has {len(name)} characters; at most {LONGEST} are allowed"
        )
    if _has_controls(name):
        raise InputError(f"{place}: the name {name[:40]!a} holds control characters; leave them out")
    return name


def check_file_names(files: Iterable[Path]) -> None:
    """Check that names of files can be written in a report and printed.

    Raises:
        InputError: a name holds control characters, or is not text in this locale.
    """
    for file in files:
        if not _is_text(file.name):
            raise InputError(
                f"{file.parent}: the file name {file.name!a} is not text in this locale: rename the file, or use a "
                "UTF-8 locale such as C.UTF-8"
            )
        if _has_controls(file.name):
            raise InputError(f"{file.parent}: the file name {file.name!a} holds control characters: rename the file")


def check_text(argument: str) -> None:
    """Check that an argument of the command line, or the current folder, can be written in a report.

    Raises:
        InputError: it is not text in this locale.
    """
    if not _is_text(argument):
        raise InputError(
            f"{argument!a}: is not text in this locale: rename the file or folder, or use the locale C.UTF-8"
        )


def _is_text(name: str) -> bool:
    return not any(unicodedata.category(c) == "Cs" for c in name)


def is_number(text: Any) -> bool:
    """Tell whether text is a whole number in ASCII digits, which `int` can read. (`"²".isdigit()` is True.)"""
    return isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 9


def _has_controls(name: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Cs") for c in name)
