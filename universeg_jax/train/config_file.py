"""Configs from Python files, and their values from the command line."""

import dataclasses
import difflib
import re
import runpy
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.tasks.augment import Policy, Variation
from universeg_jax.train.config import Stage, TrainConfig


def read_config(file: Path | str, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The `config` of a Python file, which is run for it.

    Args:
        overrides: fields to change.

    Raises:
        InputError: no such file, no `config` in it, an unknown field, a value out of range.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    try:
        config = runpy.run_path(str(file)).get("config")
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f"{file}:{lines[-1]}" if lines else file
        raise InputError(f"{place}: {_explained(error)}") from error
    if not isinstance(config, TrainConfig):
        raise InputError(f"{file}: has no config = TrainConfig(...), but {type(config).__name__}")
    return override(config, overrides or {})


def override(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """A config with other values of some fields.

    Raises:
        InputError: an unknown field, named with the nearest known one, or a value out of range.
    """
    for name in values:
        if name not in _fields(TrainConfig):
            raise InputError(f"{name}: is no field of TrainConfig{_nearest(name, _fields(TrainConfig))}")
    return dataclasses.replace(config, **values)


def _explained(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    kind = unknown and next(
        (kind for kind in (TrainConfig, Stage, UniverSegConfig, Policy, Variation) if kind.__name__ == unknown[1]), None
    )
    if kind is None:
        return f"{type(error).__name__}: {error}"
    return f"{unknown[2]}: is no field of {unknown[1]}{_nearest(unknown[2], _fields(kind))}"


def _fields(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
