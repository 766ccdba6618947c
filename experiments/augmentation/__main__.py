"""Claim: augmentation costs at most 15 % of a training step. Also draws what it looks like.

    python -m experiments.augmentation --out experiments/results

It writes augmentation.png, with each operation and whole episodes on the shipped examples. It also writes
augmentation_cost.json: the time to augment an episode and to train on it, in turn in one process, and the time of each
operation and of other ways to interpolate. Two CPU cores take two minutes.
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
    parser.add_argument("--runs", type=int, default=9, help="runs of each side (default: %(default)s)")
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
