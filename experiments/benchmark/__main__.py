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
import os
import shlex
import sys
from pathlib import Path

from experiments.benchmark.artifacts import measure_artifacts
from experiments.benchmark.machine import machine
from experiments.benchmark.processes import first_results, peak_memory
from experiments.benchmark.report import write_plot, write_table
from experiments.benchmark.sides import official_is_here
from experiments.benchmark.speed import CASES, QUICK_CASES, Case, measure
from experiments.benchmark.work import matmul_flops
from experiments.command import run

PARTS = ("speed", "first", "memory", "artifacts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of inference.{json,md,png}")
    parser.add_argument("--runs", type=int, default=7, help="runs of each side in each case (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="up to 64 support entries, 128 px, one target")
    parser.add_argument("--compiled", action="store_true", help="run the official code through torch.compile as well")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="parts to measure; others keep their earlier results"
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        type=Case.parse,
        metavar="TARGETSxENTRIESxSIZE",
        help="cases of the part speed; others keep their earlier results",
    )
    arguments = parser.parse_args()

    with_official = official_is_here()
    if not with_official:
        print("PyTorch or the official code (its repository on PYTHONPATH) is not here: ours alone is measured")
    sides = ["ours", "official"] if with_official else ["ours"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "inference.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {part: [] for part in PARTS}
    results["command"] = shlex.join(["python", "-m", "experiments.benchmark", *sys.argv[1:]])
    results["machine"] = machine()
    if "speed" in arguments.parts:
        cases = arguments.cases or (QUICK_CASES if arguments.quick else CASES)
        for case in cases:
            speed_here = {"matmul_flops": matmul_flops(), "load_average": os.getloadavg()[0]}
            row = measure(case, runs=arguments.runs, with_official=with_official, with_compiled=arguments.compiled)
            row |= speed_here
            results["speed"] = merged(results["speed"], _printed(row))
    if "first" in arguments.parts:
        results["first"] = [_printed(row) for row in first_results(sides, entries=16)]
    if "memory" in arguments.parts:
        of_ours = (64,) if arguments.quick else (64, 1024)
        of_all = [(side, entries) for side in sides for entries in (of_ours if side == "ours" else (64,))]
        results["memory"] = [_printed(peak_memory(side, entries=entries)) for side, entries in of_all]
    if "artifacts" in arguments.parts:
        results["artifacts"] = [_printed(row) for row in measure_artifacts(runs=arguments.runs)]
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(arguments.out / "inference.md", results)
    write_plot(arguments.out / "inference.png", results["speed"])


def merged(rows: list[dict], new: dict) -> list[dict]:
    """Merge rows of the part speed in the order of CASES. A new row replaces the earlier row of its case."""
    by_case = {Case(row["targets"], row["entries"], row["size"]): row for row in [*rows, new]}
    order = sorted(by_case, key=lambda case: CASES.index(case) if case in CASES else len(CASES))
    return [by_case[case] for case in order]


def _printed(row: dict) -> dict:
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    run(main)
