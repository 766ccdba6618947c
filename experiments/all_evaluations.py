"""Run all experiments of the evaluation, one after the other.

    python -m experiments.all_evaluations --corpus CORPUS --out experiments/results

Each is also a command of its own; docs/results.md explains them. Measurements in DIR/*/records.jsonl are not repeated.
Two quiet CPU cores take an hour.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from experiments.command import run
from universeg_jax.cli.shared import add_weights
from universeg_jax.errors import InputError

# Folder, module, options. (The ablations need a corpus to learn from, so they are run separately.)
EXPERIMENTS = (
    ("heldout", "evaluate", ["--pictures", "--against", "open-v0"]),
    ("small_sets", "small_sets", ["--against", "open-v3", "open-v2", "open-v1", "open-v0"]),
    ("support_size", "support_size", []),
    ("pools", "pools", []),
    ("bounds", "bounds", []),
    ("methods", "inference", []),
    ("robustness", "robustness", []),
    ("demo_steps", "demo_steps", []),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="CORPUS", help="corpus of held-out datasets")
    add_weights(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for each experiment")
    arguments = parser.parse_args()
    for folder, module, options in EXPERIMENTS:
        given = {"corpus": arguments.corpus, "weights": arguments.weights, "out": arguments.out / folder}
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        code = subprocess.run([sys.executable, "-m", f"experiments.{module}", *words, *options]).returncode
        if code:
            raise InputError(f"experiments.{module} ended with exit code {code}; its messages are above")


if __name__ == "__main__":
    run(main)
