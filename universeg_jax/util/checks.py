"""Checks of options, of fields of configurations, and of names of files and classes.

Each raises an InputError that names the option, field or file, and what is allowed.
"""

import math
import unicodedata
from collections.abc import Iterable
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Check a finite number, whole on request. `least` and `most` are allowed values, `above` and `below` are not."""
    inside = isinstance(value, Integral if whole else Real) and not isinstance(value, bool) and math.isfinite(value)
    if inside:
        inside = (
            (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        )
    if not inside:
        limits = (("at least", least), ("above", above), ("at most", most), ("below", below))
        wanted = " and ".join(f"{word} {limit}" for word, limit in limits if limit is not None)
        raise InputError(f"{name}={value!r}: pass a {'whole' if whole else 'finite'} number {wanted}".rstrip())


def check_numbers(config: Any, *names: str, **bounds: Any) -> None:
    """Check fields of a configuration, as `check_number`."""
    for name in names:
        check_number(f"{type(config).__name__}.{name}", getattr(config, name), **bounds)


def check_tuple(config: Any, name: str, *, length: int | None = None, **bounds: Any) -> None:
    """Check a field that is a tuple of `length` numbers, each as `check_number`."""
    values, full_name = getattr(config, name), f"{type(config).__name__}.{name}"
    if not isinstance(values, tuple) or len(values) != (len(values) if length is None else length):
        raise InputError(f"{full_name}={values!r}: pass a tuple of {'' if length is None else f'{length} '}numbers")
    for i, value in enumerate(values):
        check_number(f"{full_name}[{i}]", value, **bounds)


def check_kind(config: Any, name: str, kind: type) -> None:
    """Check a field that is a value of an enumeration, or an instance of a class."""
    value = getattr(config, name)
    if not isinstance(value, kind):
        wanted = "one of " + ", ".join(map(str, kind)) if issubclass(kind, Enum) else f"an instance of {kind.__name__}"
        raise InputError(f"{type(config).__name__}.{name}={value!r}: pass {wanted}")


def check_choice(config: Any, name: str, *choices: Any) -> None:
    """Check that a field has one of the given values.

    Raises:
        InputError: it has another value; the message names all choices.
    """
    value = getattr(config, name)
    if not any(value is choice or (value == choice and type(value) is type(choice)) for choice in choices):
        known = ", ".join(map(repr, choices))
        raise InputError(f"{type(config).__name__}.{name}={value!r}: pass one of {known}")


LONGEST = 200
"""Characters of the longest name of a class or a dataset."""


def check_name(name: Any, place: str) -> str:
    """Check the name of a class: text of 1 to `LONGEST` characters, without control characters.

    Args:
        place: file or option that gives the name, for the message.

    Returns:
        The name.

    Raises:
        InputError: the name is not allowed; the message gives the place and the beginning of the name.
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
