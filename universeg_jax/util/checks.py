"""Checks of options and configuration fields. Each raises an InputError that names the field and the allowed values."""

import math
from enum import Enum
from numbers import Integral, Real
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
    """Check a finite number, whole if asked for. The bounds least and most are allowed, above and below are not."""
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
