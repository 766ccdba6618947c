"""Kill commands at random moments, and start two at once."""

import filecmp
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.faults.child import finish, run, run_and_kill, start
from experiments.faults.record import Tries
from universeg_jax.util.files import TEMPORARY
from universeg_jax.util.outputs import UNFINISHED, own_output

Command = Callable[[Path], Sequence[str]]
"""Arguments of `universeg-jax` for an output folder."""


def killed_and_resumed(command: Command, place: Path, *, name: str, kills: int, again: Command | None = None) -> Tries:
    """Kill a command at random moments of its run; the next run must end as one that was not killed.

    Args:
        place: folder to work in.
        name: name of the command.
        again: the next run, where it needs other options.
    """
    whole, out = place / "whole", place / "out"
    began = time.monotonic()
    code = run(command(out), place / "log")
    out.rename(whole)  # all runs have one output folder, because results name it
    if code:
        return Tries.of("kills", name, "runs", [f"exit code {code}: {_last_line(place / 'log')}"])
    seconds, rng, outcomes = time.monotonic() - began, random.Random(0), []
    for _ in range(kills):
        shutil.rmtree(out, ignore_errors=True)
        run_and_kill(command(out), place / "log", rng.uniform(0, seconds))
        code = run((again or command)(out), place / "log")
        outcomes.append(_last_line(place / "log") if code else differences(whole, out))
    return Tries.of("kills", name, "the next run ends with the results of a run that was not killed", outcomes)


def killed_with_old_results(command: Command, place: Path, *, name: str, kills: int) -> Tries:
    """Kill a command that replaces results: they are all old, all new, or complete after the next check."""
    old, new = place / "old", place / "new"
    for folder, seed in ((old, "0"), (new, "1")):
        if run([*command(folder), "--seed", seed], place / "log"):
            return Tries.of("kills", name, "runs", [_last_line(place / "log")])
    began = time.monotonic()
    run([*command(place / "timed"), "--seed", "1"], place / "log")
    seconds, rng, outcomes = time.monotonic() - began, random.Random(1), []
    for i in range(kills):
        out = place / "replaced"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(old, out)
        # Half of the kills fall into the last tenth of the run, where results are moved.
        after = rng.uniform(0, seconds) if i % 2 else rng.uniform(0.9 * seconds, 1.05 * seconds)
        run_and_kill([*command(out), "--seed", "1", "--overwrite"], place / "log", after)
        with own_output(out):  # as the next run begins
            pass
        found = [differences(folder, out) for folder in (old, new)]
        outcomes.append("" if "" in found else " and ".join(found))
    return Tries.of("kills", name, "results are all old or all new, after the next run if need be", outcomes)


def two_at_once(command: Command, place: Path, *, name: str, times: int) -> Tries:
    """Start a command twice with one new output folder: one of them ends with exit code 2 and a reason."""
    outcomes = []
    for i in range(times):
        out = place / f"both{i}"
        children = [start(command(out), place / f"log{j}") for j in range(2)]
        codes = sorted(finish(child) for child in children)
        outcomes.append("" if codes == [0, 2] else f"exit codes {codes}")
        shutil.rmtree(out, ignore_errors=True)
    return Tries.of("two at once", name, "one of them is refused", outcomes)


VOLATILE = ("report.json", "results.json", "records.jsonl", "metrics.jsonl", "dataset_info.json", "tensorboard", "log")
"""Files that hold times."""


def differences(expected: Path, found: Path) -> str:
    """Compare two folders file by file, except for times; "" if they are equal."""
    names = {
        folder: {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (expected, found)
    }
    left = [name for name in names[found] if name.parts[0].startswith(TEMPORARY) or name.parts[0] == UNFINISHED]
    if left:
        return f"temporary files are left: {left[0]}"
    if names[expected] != names[found]:
        return f"other files: {min(names[expected] ^ names[found])}"
    for name in sorted(names[expected]):
        if not set(name.parts) & set(VOLATILE) and not filecmp.cmp(expected / name, found / name, shallow=False):
            return f"another content: {name}"
    return ""


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "nothing said"
