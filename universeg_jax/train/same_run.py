"""Whether a run that was stopped can go on with the configuration at hand."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError
from universeg_jax.train.config import TrainConfig

FREE = ("workers", "patience", "validate_every", "save_every", "picture_every", "validation_episodes")
"""Fields that may change: how often a run is looked at, and what reads its data."""


def check_same_run(
    config: TrainConfig, about: Mapping[str, Any], folder: Path, fingerprints: Mapping[str, str] | None = None
) -> None:
    """Raise unless a run saved with one configuration and corpus can go on with another.

    It can if they differ in FREE fields only, or in further stages. Fields that are newer than the checkpoint had
    their default then.

    Args:
        about: what a checkpoint holds; its "config" is `TrainConfig.to_json`, its "corpus" the fingerprints of the
            datasets, which older checkpoints do not have.
        folder: of the run.
        fingerprints: of the datasets at hand, by name; None where they are not from a corpus.

    Raises:
        InputError: naming every other field that differs, with both values; or the datasets that do.
    """
    before, now = about.get("corpus"), fingerprints
    if before is not None and now is not None and before != now:
        others = sorted(name for name in before | now if before.get(name) != now.get(name))
        raise InputError(
            f"{folder}: holds a run on another corpus: {', '.join(others)} came, went or changed. Pass the corpus of "
            "that run, or another --out with its weights to start from"
        )
    defaults, now = (json.loads(json.dumps(each.to_json())) for each in (TrainConfig(stages=config.stages), config))
    then = defaults | about["config"]
    now["stages"] = now["stages"][: len(then["stages"])] if len(now["stages"]) > len(then["stages"]) else now["stages"]
    for name in FREE:
        then.pop(name, None), now.pop(name)
    before, after = dict(_leaves(then)), dict(_leaves(now))
    differing = [name for name in before | after if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
    if differing:
        told = "; ".join(
            f"{name} was {before.get(name, _ABSENT)!r}, is {after.get(name, _ABSENT)!r}" for name in differing
        )
        raise InputError(
            f"{folder}: holds a run with another configuration: {told}. Change it back, or choose another --out"
        )


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values in nested mappings and lists, by names like stages[0].steps."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value):
        for i, each in enumerate(value):
            yield from _leaves(each, f"{path}[{i}]")
    else:
        yield path, value
