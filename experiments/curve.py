"""Draw the curves of training runs, several in one picture to compare them.

python -m experiments.curve RUN [RUN ...] --out FILE.png
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.command import run
from universeg_jax.errors import InputError
from universeg_jax.evaluate.plots import COLOURS
from universeg_jax.train.monitor import read_metrics

SMOOTHED = 100  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run; its name is the legend")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    arguments = parser.parse_args()
    runs = {}
    for folder in arguments.runs:
        runs[folder.name] = read_metrics(folder / "metrics.jsonl")
        if not runs[folder.name]:
            raise InputError(f"{folder}: holds no metrics.jsonl with a step in it; pass the folder of a run")
    draw(runs).savefig(arguments.out, dpi=110)


def draw(runs: Mapping[str, list[dict]]) -> Figure:
    """Draw loss and Dice of the batches (medians over SMOOTHED steps) and Dice of the validation tasks."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("loss of the batches", fontsize=8)
    right.set_title("soft Dice of the batches (line), Dice of tasks kept from training (dots)", fontsize=8)
    for (name, lines), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
        steps = [line for line in lines if "loss" in line]
        number = [line["step"] for line in steps]
        for axes, key in ((left, "loss"), (right, "dice")):
            axes.plot(*_smoothed(number, [line[key] for line in steps]), color=colour, linewidth=1.2, label=name)
        validated = [(line["step"], line["validation"]) for line in lines if "validation" in line]
        if validated:
            right.plot(*zip(*validated, strict=True), "o--", color=colour, markersize=3, linewidth=0.8)
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    if len(runs) > 1:
        left.legend(fontsize=8)
    return figure


def _smoothed(steps: list[int], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    width = min(SMOOTHED, len(steps))
    # Medians, for a single batch may have a loss of hundreds.
    windows = (np.lib.stride_tricks.sliding_window_view(array, width) for array in (steps, values))
    return tuple(np.median(window, axis=-1) for window in windows)


if __name__ == "__main__":
    run(main)
