"""Measure training steps on a GPU in float32, TF32 and bfloat16, and PyTorch eager and compiled: speed, memory.

    PYTHONPATH=/path/to/UniverSeg python -m experiments.benchmark.accelerator_training --out DIR

Each case runs in its own process for half a minute, to measure its peak memory. Without an accelerator it lists what it
would measure.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

from experiments.benchmark.machine import machine
from experiments.benchmark.sides import official_is_here
from experiments.benchmark.training import official, ours, random_batch
from experiments.command import run

ENTRIES, EPISODES, SIZE, STEPS = (16, 64), (1, 4, 16), 128, 20
PRECISIONS = {"float32": ("float32", "float32"), "TF32": ("float32", "tensorfloat32"), "bfloat16": ("bfloat16", None)}
"""Dtype of features and precision of products of each."""
SIDES = ("ours", "eager", "compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of accelerator_training.json")
    parser.add_argument("--case", nargs=4, metavar=("SIDE", "PRECISION", "EPISODES", "ENTRIES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        side, precision, *sizes = arguments.case
        print(json.dumps(measure(side, precision, *map(int, sizes))))
        return
    sides = SIDES if official_is_here() else SIDES[:1]
    cases = [(side, p, b, s) for s in ENTRIES for b in EPISODES for p in PRECISIONS for side in sides]
    if jax.default_backend() == "cpu":
        print(
            f"no accelerator here. On one: training steps of {EPISODES} episodes with {ENTRIES} support entries of "
            f"{SIZE} px in {', '.join(PRECISIONS)}, of {', '.join(SIDES)}: episodes a second and peak memory"
        )
        return
    rows = []
    for case in cases:
        command = [sys.executable, "-m", "experiments.benchmark.accelerator_training", "--out", str(arguments.out)]
        done = subprocess.run([*command, "--case", *map(str, case)], capture_output=True, text=True)
        about = dict(zip(("side", "precision", "episodes", "entries"), case, strict=True))
        failed = {"error": (done.stderr.strip().splitlines() or ["?"])[-1]}  # out of memory, for the most part
        rows.append(about | (json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else failed))
        print(json.dumps(rows[-1]), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {"machine": machine(), "size": SIZE, "rows": rows}
    (arguments.out / "accelerator_training.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def measure(side: str, precision: str, episodes: int, entries: int) -> dict[str, float]:
    """Episodes a second, the median of STEPS steps, and the peak of the device's memory in bytes."""
    batch, (dtype, products) = random_batch(episodes, entries, SIZE), PRECISIONS[precision]
    if side == "ours":
        with jax.default_matmul_precision(products):
            seconds = _median(ours(batch, dtype=dtype, checkpoint_activations=entries > 16))
        memory = jax.devices()[0].memory_stats() or {}  # a CPU device has none
        return {"episodes_per_second": episodes / seconds, "peak": memory.get("peak_bytes_in_use")}
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "TF32"
    step = official(batch, threads=1, device="cuda", dtype=dtype, compiled=side == "compiled")
    return {"episodes_per_second": episodes / _median(step), "peak": torch.cuda.max_memory_allocated()}


def _median(step: Callable[[], tuple[float, float]]) -> float:
    """Measure the median seconds of STEPS steps, after three that are not counted. A step ends with its loss."""
    times = []
    for _ in range(STEPS + 3):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


if __name__ == "__main__":
    run(main)
