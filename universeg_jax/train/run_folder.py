"""Protect a run folder from being resumed or overwritten by a different run."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import jax

from universeg_jax.data.augment import Policy
from universeg_jax.errors import InputError
from universeg_jax.train.config import RunConfig, Stage
from universeg_jax.util.files import check_regular, locked, remove_left
from universeg_jax.util.json_files import read_json, write_json

CHECKPOINTS, METRICS, TENSORBOARD, PICTURES = "checkpoints", "metrics.jsonl", "tensorboard", "pictures"
BEST, LAST = "best", "last"


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Create or reopen the folder of a run, and lock it against other runs while the block lasts.

    The first of several processes does it for all.

    Raises:
        InputError: the path is a file, the folder holds something else, or another run is using it.
    """
    if jax.process_index() > 0:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; choose a folder as --out")
    others = [name for name in (METRICS, TENSORBOARD, PICTURES, BEST, LAST) if (folder / name).exists()]
    if others and not (folder / CHECKPOINTS).is_dir():
        raise InputError(
            f"{folder}: holds {', '.join(others)} but no {CHECKPOINTS}/, so it is no run to resume; choose another "
            "--out, or move them away"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / METRICS).exists():
        check_regular(folder / METRICS)
    with locked(folder):
        remove_left(folder)
        yield


def claim(out: Path, file: str, identity: Mapping[str, Any], *, written: Sequence[str], overwrite: bool) -> None:
    """Mark a folder as the place of one run, and refuse it to a different run.

    Args:
        out: the folder.
        file: name of the file in it that stores the identity of the run.
        identity: options and data that the run starts from, as JSON can hold them.
        written: files and folders that such a run writes.
        overwrite: delete the results of an earlier run first.

    Raises:
        InputError: the folder holds a run with another identity (without `overwrite`), or something else.
    """
    marker = out / file
    identity = json.loads(json.dumps(identity))
    if marker.is_file():
        if not overwrite:
            _check_equal(marker, identity)
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
    write_json(marker, identity)


def _check_equal(marker: Path, identity: Mapping[str, Any]) -> None:
    before = read_json(marker, advice="pass --overwrite to start again, or another --out")
    differing = [name for name in identity if identity[name] != before.get(name)]
    if differing:
        changes = "; ".join(f"{name} was {before.get(name)!r}, is {identity[name]!r}" for name in differing)
        raise InputError(
            f"{marker.parent}: holds a run with other options or data: {changes}. Run the earlier command to resume, "
            "pass --overwrite to start again, or another --out"
        )


FREE = ("workers", "patience", "validate_every", "save_every", "picture_every", "validation_episodes")
"""Fields that may change between the parts of a run. They do not affect the parameters."""


def check_same_run(
    config: RunConfig, about: Mapping[str, Any], folder: Path, fingerprints: Mapping[str, str] | None = None
) -> None:
    """Check that a saved run can resume with this configuration and corpus.

    It can if only FREE fields differ, or if stages were added. A field that is newer than the checkpoint counts as its
    default.

    Args:
        config: the configuration now.
        about: facts of the checkpoint: "config", as `RunConfig.to_json` returns it, and "corpus", the fingerprints of
            the datasets. Older checkpoints have no "corpus".
        folder: the folder of the run.
        fingerprints: fingerprints of the datasets now, by name; None without a corpus.

    Raises:
        InputError: it cannot, with every differing field and both values, or with the differing datasets.
    """
    before, now = about.get("corpus"), fingerprints
    if before is not None and now is not None and before != now:
        others = sorted(name for name in before | now if before.get(name) != now.get(name))
        raise InputError(
            f"{folder}: holds a run on another corpus: {', '.join(others)} came, went or changed. Pass its corpus, or "
            "another --out"
        )
    defaults, now = (json.loads(json.dumps(each.to_json())) for each in (type(config)(stages=config.stages), config))
    then = defaults | about["config"]
    # Fields of stages and of the policy may be newer too.
    then["stages"] = [_STAGE_DEFAULTS | stage for stage in then["stages"]]
    then["policy"] = asdict(Policy()) | then["policy"]
    now["stages"] = now["stages"][: len(then["stages"])] if len(now["stages"]) > len(then["stages"]) else now["stages"]
    for name in FREE:
        then.pop(name, None), now.pop(name)
    before, after = dict(_leaves(then)), dict(_leaves(now))
    differing = [name for name in before | after if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
    if differing:
        changes = "; ".join(
            f"{name} was {before.get(name, _ABSENT)!r}, is {after.get(name, _ABSENT)!r}" for name in differing
        )
        raise InputError(
            f"{folder}: holds a run with another configuration: {changes}. Change it back, or choose another --out"
        )


_STAGE_DEFAULTS = {
    field.name: list(field.default) if isinstance(field.default, tuple) else field.default  # as JSON holds them
    for field in fields(Stage)
    if field.default is not MISSING
}


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings and lists, with names like stages[0].steps."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value):
        for i, each in enumerate(value):
            yield from _leaves(each, f"{path}[{i}]")
    else:
        yield path, value
