"""Time to the masks of a few images: whole processes, ours and a short script on the official PyTorch code, in turn.

    PYTHONPATH=/path/to/UniverSeg python -m experiments.benchmark.first_mask --out experiments/results

Each round runs the script, our command with an empty cache of compiled code ("cold"), and our command again ("warm").
Other work on the machine changes times, so the ratios of one round count. Processor seconds change less than seconds
of the clock, but they add up over cores. The job is the shipped example fetal-head: 16 examples and some images.
Both sides run UniverSeg v1 with the same random weights: the masks mean nothing, and the work is the same.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.weights import export_universeg, save, save_torch, shipped
from universeg_jax.weights.loading import universeg

UNITS = ("seconds", "processor_seconds")
EXAMPLES = shipped.FOLDER.parent / "examples" / "fetal-head"


def timed(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command and return its seconds of the clock and of the processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": wall, "processor_seconds": sum(after[:2]) - sum(before[:2])}


def one_round(folder: Path, targets: Path) -> dict[str, dict[str, float]]:
    """Run all sides once, the command first with an empty cache and then with a full one."""
    support, cache = EXAMPLES / "support", folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    script = [sys.executable, "-m", "experiments.benchmark.naive_script"]
    script += [folder / "weights.pt", support, targets, folder / "script"]
    ours = [sys.executable, "-m", "universeg_jax", "predict", "--quiet", "--overwrite"]
    ours += ["--weights", folder / "weights", "-s", support, "-i", targets, "-o", folder / "ours"]
    environment = {"UNIVERSEG_JAX_CACHE": str(cache)}
    return {
        "script": timed([str(part) for part in script], {}),
        "cold": timed([str(part) for part in ours], environment),
        "warm": timed([str(part) for part in ours], environment),
    }


def ratios(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the medians over rounds of our times as parts of the script's."""
    return {
        side: {unit: statistics.median(row[side][unit] / row["script"][unit] for row in rounds) for unit in UNITS}
        for side in ("cold", "warm")
    }


def table(rounds: list[dict[str, dict[str, float]]]) -> str:
    """Write medians and ratios as a Markdown table."""
    found, lines = ratios(rounds), ["| run | seconds | processor seconds | part of the script's |", "|---|---|---|---|"]
    for side in ("script", "cold", "warm"):
        wall, processor = (statistics.median(row[side][unit] for row in rounds) for unit in UNITS)
        part = "1" if side == "script" else f"{found[side]['seconds']:.2f}"
        lines.append(f"| {side} | {wall:.1f} | {processor:.1f} | {part} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of first_mask.{json,md}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side (default: %(default)s)")
    parser.add_argument("--images", type=int, default=4, help="images to segment (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # a cache of the caller would make every run warm
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "targets").mkdir()
        for path in sorted((EXAMPLES / "targets").iterdir())[: arguments.images]:
            shutil.copy(path, folder / "targets")
        model = universeg()
        save_torch(export_universeg(model), folder / "weights.pt")
        save(model, folder / "weights")
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append(one_round(folder, folder / "targets"))
            print(json.dumps(rounds[-1]), flush=True)
    command = shlex.join(["python", "-m", "experiments.benchmark.first_mask", *sys.argv[1:]])
    load_average = os.getloadavg()[0]
    results = {
        "command": command,
        "machine": machine(),
        "load_average": load_average,
        "ratios": ratios(rounds),
        "rounds": rounds,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "first_mask.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "first_mask.md").write_text(
        f"# Time to the masks of {arguments.images} images\n\n`{command}`. Medians over {len(rounds)} rounds, on "
        f"{results['machine']['cores']} cores with a load average of {load_average:.1f} at the end.\n\n{table(rounds)}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    run(main)
