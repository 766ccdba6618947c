"""Augmentation: what it looks like, and that it costs at most 15 % of a training step.

    python -m experiments.augmentation --out experiments/results

Writes augmentation.png, each operation and whole episodes on the shipped examples, and augmentation_cost.json: the
time of augmenting an episode beside that of a training step with it, in turn in one process, and the time of
each operation and of other ways to interpolate. On two CPU cores it takes two minutes.
"""

import argparse
import json
from pathlib import Path

from experiments.augmentation.cost import measure
from experiments.augmentation.picture import draw
from experiments.benchmark.machine import machine
from experiments.command import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--runs", type=int, default=9, help="of each side (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw().savefig(arguments.out / "augmentation.png", dpi=90)
    command = "python -m experiments.augmentation --out experiments/results"
    results = {"command": command, "machine": machine(), **measure(runs=arguments.runs)}
    text = json.dumps(results, indent=1)
    (arguments.out / "augmentation_cost.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run(main)
