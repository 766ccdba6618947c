"""Draw the curve of a training run.

python -m experiments.curve RUN --out FILE.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from universeg_jax.errors import InputError
from universeg_jax.train.watch import read_metrics

SMOOTHED = 100  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a training run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    arguments = parser.parse_args()
    lines = read_metrics(arguments.run / "metrics.jsonl")
    if not lines:
        raise InputError(f"{arguments.run}: holds no metrics.jsonl with a step in it; pass the folder of a run")
    draw(lines).savefig(arguments.out, dpi=110)


def draw(lines: list[dict]) -> Figure:
    """Loss and Dice of the batches, means over SMOOTHED steps, and Dice of the tasks that are validated on."""
    steps = [line for line in lines if "loss" in line]
    validated = [line for line in lines if "validation" in line]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    number = np.array([line["step"] for line in steps])
    left.plot(*_smoothed(number, [line["loss"] for line in steps]), label="loss of the batches")
    right.plot(*_smoothed(number, [line["dice"] for line in steps]), label="soft Dice of the batches, augmented")
    if validated:
        where = [line["step"] for line in validated]
        right.plot(where, [line["validation"] for line in validated], "o-", label="Dice of tasks kept from training")
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _smoothed(steps: np.ndarray, values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    width = min(SMOOTHED, len(steps))
    kernel = np.ones(width) / width
    return np.convolve(steps, kernel, mode="valid"), np.convolve(values, kernel, mode="valid")


if __name__ == "__main__":
    main()
