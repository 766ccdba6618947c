"""Protect a run folder from being resumed or overwritten by a different run."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from universeg_jax.errors import InputError
from universeg_jax.train.config import TrainConfig
from universeg_jax.util.files import locked, remove_left
from universeg_jax.util.json_files import read_json, write_json

CHECKPOINTS, METRICS, TENSORBOARD, PICTURES = "checkpoints", "metrics.jsonl", "tensorboard", "pictures"
BEST, LAST = "best", "last"


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Make the folder of a run, or go on in it, with no other run in it as long as the block lasts.

    Of several processes the first does it for all.

    Raises:
        InputError: it is no folder, holds something that the run would replace, or another run is in it.
    """
    if jax.process_index() > 0:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; choose a folder as --out")
    others = [name for name in (METRICS, TENSORBOARD, PICTURES, BEST, LAST) if (folder / name).exists()]
    if others and not (folder / CHECKPOINTS).is_dir():
        raise InputError(
            f"{folder}: holds {', '.join(others)} but no {CHECKPOINTS}/, so it is not the folder of a run; choose "
            "another --out, or move them away"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        remove_left(folder)
        yield


def claim(out: Path, file: str, identity: Mapping[str, Any], *, written: Sequence[str], overwrite: bool) -> None:
    """Make a folder that of a run, unless it is that of another or holds something else.

    Args:
        file: the name of the file in it that says whose it is.
        identity: what the run is started with, as JSON can hold it.
        written: the files and folders that such runs write; with `overwrite` those of an earlier one are deleted.

    Raises:
        InputError: the folder holds a run with another identity (and `overwrite` is False), or something else.
    """
    owner = out / file
    identity = json.loads(json.dumps(identity))
    if owner.is_file():
        if not overwrite:
            _check_equal(owner, identity)
            return
        with own_folder(out):
            for name in written:
                if (out / name).is_dir():
                    shutil.rmtree(out / name)
                else:
                    (out / name).unlink(missing_ok=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and holds no run of this command; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(owner, identity)


def _check_equal(owner: Path, identity: Mapping[str, Any]) -> None:
    before = read_json(owner, advice="pass --overwrite to start again, or another --out")
    differing = [name for name in identity if identity[name] != before.get(name)]
    if differing:
        told = "; ".join(f"{name} was {before.get(name)!r}, is {identity[name]!r}" for name in differing)
        raise InputError(
            f"{owner.parent}: holds a run that was started with something else: {told}. Give the command it was "
            "started with to go on, pass --overwrite to begin anew, or another --out"
        )


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
