"""The state of a run on disk: complete or not there, checked when it is read, the one before kept."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from universeg_jax.errors import InputError
from universeg_jax.train.state import TrainState

KEPT = 2
"""Checkpoints that are kept: the latest, and the one before in case it is damaged."""


class Checkpoints:
    """The checkpoints of a run, in a folder. A context manager: a save ends in the background, or on leaving."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self._manager.close()
        except Exception as late:  # of a save in the background
            if error is None:
                raise self._unwritten(None, late) from late

    def save(self, state: TrainState, about: Mapping[str, Any]) -> None:
        """Save a state; one of the same step that is there stays.

        Args:
            about: what JSON can hold, kept beside it.

        Raises:
            InputError: it, or the save before it, cannot be written.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        about = {**about, "state_sha256": _digest_state(state)}
        about["sha256"] = _digest_about(about)
        arrays = state._asdict()
        try:
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
            )
        except Exception as error:  # Orbax and TensorStore have many kinds
            raise self._unwritten(step, error) from error

    def wait(self) -> None:
        """Until all is written.

        Raises:
            InputError: it cannot be.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritten(None, error) from error

    def restore(
        self, like: TrainState, *, accept: Callable[[Mapping[str, Any]], None]
    ) -> tuple[TrainState, dict[str, Any]] | None:
        """The latest state that is whole, and what was kept beside it; None where nothing was saved.

        A damaged one is warned of, and the one before it taken.

        Args:
            like: a state of the same shapes, on the devices where the result shall be.
            accept: raises an InputError if what is kept beside a state does not suit; that state is not read then.

        Raises:
            InputError: all are damaged; and what `accept` raises.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                about = self._read_about(step)
                accept(about)
                return self._read_state(step, like, about["state_sha256"]), about
            except InputError:
                raise
            except Exception as error:  # a damaged file makes Orbax and TensorStore raise almost anything
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                warnings.warn(f"{self.folder / str(step)}: is damaged, so it is left out ({reason})", stacklevel=2)
        if steps:
            raise InputError(
                f"{self.folder}: none of the checkpoints of steps {', '.join(map(str, steps))} can be read; delete the "
                "folder to start again"
            )
        return None

    def forget_after(self, step: int) -> None:
        """Delete checkpoints of later steps: those found damaged, whose steps will be taken again."""
        for later in self._manager.all_steps():
            if later > step:
                self._manager.delete(later)

    def _read_about(self, step: int) -> dict[str, Any]:
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if about.pop("sha256") != _digest_about(about):
            raise ValueError("what is kept beside the state has another checksum")
        return about

    def _read_state(self, step: int, like: TrainState, digest: str) -> TrainState:
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like._asdict())
        found = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
        state = TrainState(**found["state"])
        if _digest_state(state) != digest:
            raise ValueError("the state has another checksum")
        return state

    def _unwritten(self, step: int | None, error: Exception) -> InputError:
        kept = [s for s in self._manager.all_steps() if s != step]
        where = f"step {step}" if step is not None else "a checkpoint"
        last = f"the last good one is of step {max(kept)}" if kept else "there is none yet"
        return InputError(
            f"{self.folder}: {where} cannot be saved: {error}; {last}. Make room and start the same command again"
        )


def _digest_state(state: TrainState) -> str:
    """Of the bytes of all arrays. TensorStore itself does not see every damage."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(state):
        digest.update(np.ascontiguousarray(np.asarray(array)).tobytes())
    return digest.hexdigest()


def _digest_about(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
