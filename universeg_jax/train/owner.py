"""Whose run a folder holds, so that no run goes on with, or writes over, what is not its own."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError
from universeg_jax.train.folder import own_folder


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
    unfinished = owner.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(owner)


def _check_equal(owner: Path, identity: Mapping[str, Any]) -> None:
    try:
        before = json.loads(owner.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{owner}: is damaged ({error}); pass --overwrite to begin anew, or another --out") from None
    differing = [name for name in identity if identity[name] != before.get(name)]
    if differing:
        told = "; ".join(f"{name} was {before.get(name)!r}, is {identity[name]!r}" for name in differing)
        raise InputError(
            f"{owner.parent}: holds a run that was started with something else: {told}. Give the command it was "
            "started with to go on, pass --overwrite to begin anew, or another --out"
        )
