"""Read the configuration of a run: a Python file that defines `config = TrainConfig(...)`."""

import dataclasses
import difflib
import re
import runpy
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from universeg_jax.data.augment import Policy, Variation
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.config import RunConfig, Stage, TrainConfig

Config = TypeVar("Config", bound=RunConfig)

EXPLAINED = (TrainConfig, Stage, UniverSegConfig, Policy, Variation)
"""Classes whose unknown arguments are reported with the nearest known name."""


def read_config(file: Path | str, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Run a Python file and return its `config`.

    Args:
        file: the Python file.
        overrides: values of fields to change.

    Raises:
        InputError: the file is missing, fails or defines no `config`; a field is unknown; a value is out of range.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    try:
        config = runpy.run_path(str(file)).get("config")
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f"{file}:{lines[-1]}" if lines else file
        raise InputError(f"{place}: {_explained(error)}") from error
    if not isinstance(config, RunConfig):
        raise InputError(f"{file}: defines no config = TrainConfig(...); found {type(config).__name__}")
    return override(config, overrides or {})


def override(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with other values of some fields.

    Raises:
        InputError: a field is unknown, with the nearest known one; or a value is out of range.
    """
    kind = type(config)
    for name in values:
        if name not in _fields(kind):
            raise InputError(f"{name}: is no field of {kind.__name__}{_nearest(name, _fields(kind))}")
    return dataclasses.replace(config, **values)


def _explained(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    unknown = re.search(r"(?:(\w+)\.__init__\(\) )?got an unexpected keyword argument '(\w+)'", str(error))
    if unknown is None:
        return f"{type(error).__name__}: {error}"
    kind = next((kind for kind in EXPLAINED if kind.__name__ == unknown[1]), None)
    if unknown[1] is None:  # checkers of annotations leave the class out
        kind = next((kind for kind in EXPLAINED if difflib.get_close_matches(unknown[2], _fields(kind), 1)), None)
    if kind is None:
        return f"{type(error).__name__}: {error}"
    return f"{unknown[2]}: is no field of {kind.__name__}{_nearest(unknown[2], _fields(kind))}"


def _fields(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
