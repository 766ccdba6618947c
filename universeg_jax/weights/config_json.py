"""Read configurations from JSON: each field must be present, of its type and within bounds."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")

LARGEST = 2**14
"""Largest whole number: features, or pixels of a side. The largest network that is known has 5,120 features."""

MOST_STAGES = 64
"""Most stages of a network, and most blocks of a stage. The largest network that is known has 40 blocks."""

LARGEST_FLOAT = 1e6
"""Largest absolute value of other numbers: means and deviations of colours."""

_COUNTS = ("depth", "decoder_depth", "depths")


def config_from_json(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Make a dataclass of numbers, tuples of numbers, and such dataclasses. Every field must be given.

    Raises:
        ValueError: a field is missing or unknown, has another type, or is out of bounds.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{kind.__name__} is {values!r:.40}, must be a table")
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    if values.keys() != names:
        raise ValueError(f"{kind.__name__} has {sorted(names)}, not {sorted(values)}")
    hints = get_type_hints(kind)
    return kind(**{name: read_field(hints[name], name, values[name]) for name in names})


def read_field(hint: Any, name: str, value: Any) -> Any:
    """Read one value as its type says.

    Raises:
        ValueError: as for `config_from_json`.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        most = MOST_STAGES if name in _COUNTS else LARGEST
        if 0 <= value <= most:
            return value
        raise ValueError(f"{name} is {value}, must be 0 to {most}")
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and abs(value) <= LARGEST_FLOAT:
            return float(value)
        raise ValueError(f"{name} is {value}, must be a number up to {LARGEST_FLOAT:g}")
    if hint is type(None) and value is None:
        return None
    if origin is tuple and isinstance(value, list):
        return _tuple(arguments, name, value)
    if origin in (Union, UnionType):
        for each in arguments:
            if (
                isinstance(value, each)
                if isinstance(each, type) and is_dataclass(each)
                else (value is None) == (each is type(None))
            ):
                return read_field(each, name, value)
    if is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else config_from_json(hint, value)
    raise ValueError(f"{name} is {value!r:.40}")


def _tuple(arguments: tuple[Any, ...], name: str, values: list[Any]) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is ...:
        if len(values) > MOST_STAGES:
            raise ValueError(f"{name} has {len(values)} entries, may have {MOST_STAGES}")
        arguments = (arguments[0],) * len(values)
    if len(values) != len(arguments):
        raise ValueError(f"{name} is {values!r:.40}, must have {len(arguments)} entries")
    return tuple(read_field(each, name, value) for each, value in zip(arguments, values, strict=True))
