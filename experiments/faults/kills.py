"""Kill commands at moments spread over their run, and start two at once."""

import random
import shutil
import time
from pathlib import Path

from experiments.faults.child import finish, in_child, run, run_and_kill, start
from experiments.faults.commands import Command
from experiments.faults.compare import differences
from experiments.faults.record import Tries
from universeg_jax.util.files import TEMPORARY
from universeg_jax.util.outputs import own_output


def killed_and_resumed(command: Command, place: Path, *, kills: int, most_seconds: float) -> Tries:
    """Kill a command at moments spread over its run; the next run must end as one that was not killed.

    Args:
        place: empty folder to work in.
        most_seconds: begin no further try after this time.
    """
    until = time.monotonic() + most_seconds
    whole, out, log = place / "whole", place / "out", place / "log"
    run(command.run(out), log)  # compiles
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    code = run(command.run(out), log)
    seconds, outcomes = time.monotonic() - began, []
    if code:
        return Tries.of("kills", command.name, "runs", [f"exit code {code}: {_last_line(log)}"])
    out.rename(whole)  # all runs have one output folder, because results name it
    for after in _moments(seconds, kills):
        if time.monotonic() > until:
            break
        shutil.rmtree(out, ignore_errors=True)
        run_and_kill(command.run(out), log, after)
        code = run(command.resume(out), log)
        outcomes.append(_last_line(log) if code else in_child(lambda: differences(whole, out)) or _left_in(place))
    return Tries.of("kills", command.name, "the next run ends with the results of a run that was not killed", outcomes)


def killed_with_old_results(command: Command, place: Path, *, kills: int, most_seconds: float) -> Tries:
    """Kill a command that replaces results: they are all old, all new, or complete after the next check."""
    until = time.monotonic() + most_seconds
    old, new, log = place / "old", place / "new", place / "log"
    name = f"{command.name} --overwrite"
    for folder, seed in ((old, "0"), (new, "1")):
        began = time.monotonic()
        if run([*command.run(folder), "--seed", seed], log):
            return Tries.of("kills", name, "runs", [_last_line(log)])
    seconds, outcomes = time.monotonic() - began, []
    # Half of the kills fall into the last tenth of the run, where results are moved.
    last = [0.9 * seconds + after for after in _moments(0.15 * seconds, kills - kills // 2)]
    for after in [*_moments(seconds, kills // 2), *last]:
        if time.monotonic() > until:
            break
        out = place / "replaced"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(old, out)
        run_and_kill([*command.run(out), "--seed", "1", "--overwrite"], log, after)
        with own_output(out):  # as the next run begins
            pass
        found = [differences(folder, out) for folder in (old, new)]
        outcomes.append("" if "" in found else " and ".join(found))
    return Tries.of("kills", name, "results are all old or all new, after the next run if need be", outcomes)


def two_at_once(command: Command, place: Path, *, times: int) -> Tries:
    """Start a command twice with one new output folder: one of them ends with exit code 2 and a reason."""
    outcomes = []
    for i in range(times):
        out, logs = place / f"both{i}", [place / f"log{j}" for j in range(2)]
        children = [start(command.run(out), log) for log in logs]
        codes = [finish(child) for child in children]
        refused = "".join(log.read_text(errors="replace") for code, log in zip(codes, logs, strict=True) if code)
        kept = sorted(codes) == [0, 2] and refused.startswith("error: ") and (out / command.complete).is_file()
        outcomes.append("" if kept else f"exit codes {sorted(codes)}: {refused.strip()[:200]}")
        shutil.rmtree(out, ignore_errors=True)
    return Tries.of("two at once", command.name, "one of them is refused, the other writes its results", outcomes)


def _moments(seconds: float, number: int) -> list[float]:
    """Return one random moment in each of `number` equal parts of a time, in random order."""
    rng = random.Random(0)
    return rng.sample([seconds * (i + rng.random()) / number for i in range(number)], number)


def _left_in(place: Path) -> str:
    """Name a temporary folder that lies next to the output folder."""
    left = sorted(path.name for path in place.glob(f"{TEMPORARY}*"))
    return f"temporary files are left: {left[0]}" if left else ""


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "nothing said"
