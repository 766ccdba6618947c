"""Save the state of a run, and restore it after a check. A damaged checkpoint falls back to the one before it."""

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
from universeg_jax.train.learner import TrainState

KEPT = 2
"""Number of checkpoints kept: the latest, and one more in case the latest is damaged."""


class Checkpoints:
    """Checkpoints of a run in a folder. A context manager, because a save may end in the background."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self._manager.close()
        except Exception as late:  # the error of a save in the background
            if error is None:
                raise self._unwritten(None, late) from late

    def save(self, state: TrainState, about: Mapping[str, Any]) -> None:
        """Save a state, unless one of the same step exists.

        Args:
            state: to save.
            about: facts to store with the state, as JSON can hold them.

        Raises:
            InputError: this save, or the one before it, failed.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        about = {**about, "state_sha256": _digest_state(state)}
        about["sha256"] = _digest_about(about)
        arrays = _saved(state)
        try:
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
            )
        except Exception as error:  # Orbax and TensorStore have many kinds
            raise self._unwritten(step, error) from error

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            InputError: a save failed.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritten(None, error) from error

    def restore(
        self, like: TrainState, *, accept: Callable[[Mapping[str, Any]], None]
    ) -> tuple[TrainState, dict[str, Any]] | None:
        """Return the latest undamaged state and the facts stored with it, or None if nothing was saved.

        A damaged state causes a warning, and the one before it is restored.

        Args:
            like: a state of the same shapes, on the devices where the result belongs.
            accept: checks the stored facts and raises an InputError to refuse them, before the state is read.

        Raises:
            InputError: all states are damaged, or `accept` refuses.
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
                warnings.warn(f"{self.folder / str(step)}: is damaged and skipped ({reason})", stacklevel=2)
        if steps:
            raise InputError(
                f"{self.folder}: none of the checkpoints of steps {', '.join(map(str, steps))} can be read; delete the "
                "folder to start again"
            )
        return None

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, which are damaged."""
        for later in self._manager.all_steps():
            if later > step:
                self._manager.delete(later)

    def _read_about(self, step: int) -> dict[str, Any]:
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if about.pop("sha256") != _digest_about(about):
            raise ValueError("the facts stored with the state have another checksum")
        return about

    def _read_state(self, step: int, like: TrainState, digest: str) -> TrainState:
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _saved(like))
        found = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
        state = TrainState(**found["state"], frozen=like.frozen)
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


def _saved(state: TrainState) -> dict[str, Any]:
    """Return the parts of a state that change. Frozen arrays come from the initial weights."""
    return {name: value for name, value in state._asdict().items() if name != "frozen"}


def _digest_state(state: TrainState) -> str:
    """Return a digest of all arrays, because TensorStore does not detect every damage."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(_saved(state)):
        digest.update(np.ascontiguousarray(np.asarray(array)).tobytes())
    return digest.hexdigest()


def _digest_about(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
