"""Kill the page while it saves masks and proposals of pictures and of volumes."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from experiments.faults.record import Tries
from universeg_jax.app.proposal import Proposal
from universeg_jax.app.states import LABELLED, State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.util.files import TEMPORARY

SIZE = (40, 30)
IMAGES = 4


def killed_page(kind: str, place: Path, *, kills: int) -> Tries:
    """Kill a process that labels a folder; each file must be whole, and hold what was saved last or was being saved.

    Args:
        kind: "pictures" or "volumes".
        place: folder to work in.
        kills: number of processes that are started and killed.
    """
    rng, outcomes = random.Random(0), []
    for number in range(kills):
        folder = place / f"{kind}{number}"
        _write_images(folder, kind)
        done = _run_and_kill(folder, rng.uniform(0, 1))
        outcomes.append(_problem(folder, done))
        shutil.rmtree(folder)
    promise = "every mask and proposal is whole, no saved mask is lost, and the folder opens again"
    return Tries.of("kills", f"app, {kind}", promise, outcomes)


def _write_images(folder: Path, kind: str) -> None:
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    if kind == "pictures":
        for i in range(IMAGES):
            Image.fromarray(rng.integers(0, 255, SIZE).astype(np.uint8)).save(folder / "images" / f"{i}.png")
    else:
        voxels = rng.integers(0, 255, (SIZE[1], SIZE[0], IMAGES)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0])), folder / "images" / "a.nii.gz")


def _mask(version: int) -> np.ndarray:
    """Return the mask of a version, the number of its pixels."""
    return (np.arange(SIZE[0] * SIZE[1]) < version).reshape(SIZE).astype(int)


def _label(folder: Path) -> Iterator[tuple[str, int]]:
    """Save masks and proposals one after the other; yield name and version of each mask that is saved."""
    workspace = Workspace(folder)
    for version in range(1, SIZE[0] * SIZE[1]):
        for name in workspace.names:
            if version == 1:
                probability = np.full((*SIZE, 1), 0.5, np.float16)
                workspace.propose(name, Proposal(probability, None, 0.5, (), "of a test"))
            confirm = version % 3 > 0
            workspace.save(name, _mask(version), seen=workspace.token(name), confirm=confirm)
            yield name, version


def _run_and_kill(folder: Path, after: float) -> dict[str, int]:
    """Label in a forked process, kill it some seconds after the first mask, and return the last version by name."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            for name, version in _label(folder):
                os.write(writing, f"{name}\t{version}\n".encode())
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        found = [lines.readline()]
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        found += lines.readlines()
    os.waitpid(child, 0)
    pairs = [line.rstrip("\n").split("\t") for line in found if line.endswith("\n")]
    return {name: int(version) for name, version in pairs}


def _problem(folder: Path, done: dict[str, int]) -> str:
    """Describe what is wrong with a folder whose process was killed; "" if nothing is."""
    if not done:
        return "nothing was saved before the kill"
    try:
        workspace = Workspace(folder)
    except InputError as error:
        return f"the folder does not open: {error}".replace(str(folder), "FOLDER")[:120]
    workspace.remove_unfinished()
    if any(folder.rglob(f"{TEMPORARY}*")):
        return "temporary files are left"
    for name in workspace.names:
        try:
            mask, state = workspace.mask(name), workspace.state(name)
        except InputError as error:
            return f"a mask cannot be read: {error}".replace(str(folder), "FOLDER")[:120]
        if mask is None:
            if name in done:
                return "a saved mask is lost"
            continue
        version = int(mask.sum())
        if not np.array_equal(mask, _mask(version)):
            return "a mask is not whole"
        if not done.get(name, 0) <= version <= done.get(name, 0) + 1:
            return "another mask than the one saved last"
        if state not in LABELLED or (state is State.CONFIRMED and version % 3 == 0):
            return f"a mask that was not confirmed is {state.value}"
        if workspace.proposal(name) is None:
            return "a proposal is lost"
    return ""
