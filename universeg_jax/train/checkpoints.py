"""The state of a run on disk: complete or not there, checked when it is read, the one before kept."""

import hashlib
import warnings
from collections.abc import Mapping
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

    def __exit__(self, *exception) -> None:
        self._manager.close()

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
        meta = {**about, "sha256": _digest(state)}
        arrays = state._asdict()
        try:
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(meta))
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

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """The latest state that is whole, and what was kept beside it; None where nothing was saved.

        A damaged one is warned of, and the one before it taken.

        Args:
            like: a state of the same shapes, on the devices where the result shall be.

        Raises:
            InputError: all are damaged.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return self._read(step, like)
            except Exception as error:
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                warnings.warn(
                    f"{self.folder / str(step)}: is damaged, so the one before is taken ({reason})", stacklevel=2
                )
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

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like._asdict())
        found = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target), about=ocp.args.JsonRestore())
        )
        state = TrainState(**found["state"])
        if _digest(state) != found["about"]["sha256"]:
            raise ValueError("its checksum is another")
        return state, found["about"]

    def _unwritten(self, step: int | None, error: Exception) -> InputError:
        kept = [s for s in self._manager.all_steps() if s != step]
        where = f"step {step}" if step is not None else "a checkpoint"
        last = f"the last good one is of step {max(kept)}" if kept else "there is none yet"
        return InputError(
            f"{self.folder}: {where} cannot be saved: {error}; {last}. Make room and start the same command again"
        )


def _digest(state: TrainState) -> str:
    """Of the bytes of all arrays. TensorStore itself does not see every damage."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(state):
        digest.update(np.ascontiguousarray(np.asarray(array)).tobytes())
    return digest.hexdigest()
