"""Measure speed and memory, compared with the official PyTorch code.

    PYTHONPATH=/path/to/UniverSeg python -m experiments.benchmark --out experiments/results

The comparison needs the official repository (github.com/JJGO/UniverSeg) and PyTorch. Without them, or where the
official code would need too much memory (14 GB at 256 support entries), ours is measured alone. A quiet machine of two
cores takes about fifteen minutes; --quick takes two.

Training data is measured by `python -m experiments.input_pipeline` (throughput), by
`python -m experiments.augmentation` (cost of each operation) and by `python -m experiments.synthetic picture`.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from experiments.benchmark.artifacts import measure_artifacts
from experiments.benchmark.machine import machine
from experiments.benchmark.processes import first_results, peak_memory
from experiments.benchmark.report import write_plot, write_table
from experiments.benchmark.sides import official_is_here
from experiments.benchmark.speed import CASES, QUICK_CASES, measure
from experiments.benchmark.work import matmul_flops
from experiments.command import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of inference.{json,md,png}")
    parser.add_argument("--runs", type=int, default=7, help="runs of each side in each case (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="up to 64 support entries, 128 px, one target")
    arguments = parser.parse_args()

    with_official = official_is_here()
    if not with_official:
        print("PyTorch or the official code (its repository on PYTHONPATH) is not here: ours alone is measured")
    sides = ["ours", "official"] if with_official else ["ours"]
    cases = QUICK_CASES if arguments.quick else CASES
    speed = [_printed(measure(case, runs=arguments.runs, with_official=with_official)) for case in cases]
    memory = [peak_memory(side, entries=64) for side in sides]
    if not arguments.quick:
        memory.append(peak_memory("ours", entries=1024))
    results = {
        "command": shlex.join(["python", "-m", "experiments.benchmark", *sys.argv[1:]]),
        "machine": machine(),
        "matmul_flops": matmul_flops(),
        "speed": speed,
        "first": [_printed(row) for row in first_results(sides, entries=16)],
        "memory": [_printed(row) for row in memory],
        "artifacts": [_printed(row) for row in measure_artifacts(runs=arguments.runs)],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "inference.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(arguments.out / "inference.md", results)
    write_plot(arguments.out / "inference.png", speed)


def _printed(row: dict) -> dict:
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    run(main)
