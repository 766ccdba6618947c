"""Draw synthetic tasks and time them, or write all of them to files.

    python -m experiments.synthetic picture --out experiments/results
    python -m experiments.synthetic write FOLDER --seed 0
    universeg-jax prepare FOLDER --out CORPUS

The first command writes synthetic.png and synthetic.json. The second makes the paper's 1000 tasks of 100 subjects, 4 GB
of npz files. Keep their corpus apart from other datasets: in a common corpus each task would count as a dataset.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.data.episodes.synthetic import SyntheticEpisodes, write_synthetic
from universeg_jax.data.episodes.synthetic_images import LABELS, synthetic_images

ROWS, TASKS_A_ROW, SUBJECTS = 8, 3, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    picture = commands.add_parser("picture", help="write synthetic.png and synthetic.json")
    picture.add_argument("--out", type=Path, required=True, metavar="DIR")
    write = commands.add_parser("write", help="write npz files for `universeg-jax prepare`")
    write.add_argument("folder", type=Path, metavar="FOLDER")
    write.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    write.add_argument("--tasks", type=int, default=1000, help="(default: %(default)s)")
    write.add_argument("--subjects", type=int, default=100, help="images of each task (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.command == "write":
        write_synthetic(arguments.folder, seed=arguments.seed, tasks=arguments.tasks, subjects=arguments.subjects)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw().savefig(arguments.out / "synthetic.png", dpi=80)
    command = "python -m experiments.synthetic picture --out experiments/results"
    text = json.dumps({"command": command, "machine": machine(), **measure()}, indent=1)
    (arguments.out / "synthetic.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def draw() -> Figure:
    """Draw the tasks of seed 0: label map and image of two subjects each."""
    figure = plt.figure(figsize=(16, 11), facecolor="white")
    figure.text(
        0.008,
        0.985,
        "Synthetic tasks, three in a row: label map and image of one subject, then of another",
        va="top",
    )
    widths = ([1] * 2 * SUBJECTS + [0.12]) * TASKS_A_ROW
    place = dict(left=0.008, right=1.0, top=0.955, bottom=0.008, wspace=0.03, hspace=0.03, width_ratios=widths)
    grid = figure.add_gridspec(ROWS, len(widths), **place)
    for task in range(ROWS * TASKS_A_ROW):
        row, group = divmod(task, TASKS_A_ROW)
        images, classes = synthetic_images(0, task, np.arange(SUBJECTS))
        for subject in range(SUBJECTS):
            for i, picture in enumerate((classes[subject], images[subject])):
                axes = figure.add_subplot(grid[row, group * (1 + 2 * SUBJECTS) + 2 * subject + i])
                colours = dict(cmap="gray", vmin=0, vmax=1) if i else dict(cmap="tab20", vmin=0, vmax=LABELS)
                axes.imshow(picture, **colours)
                axes.axis("off")
    return figure


def measure() -> dict:
    """Measure images a second: as `write_synthetic` makes them, and in episodes of 64 support entries."""
    subjects = np.arange(100)
    episodes = SyntheticEpisodes(seed=0)

    def draw_all(task: int) -> None:
        jax.block_until_ready(synthetic_images(0, task, subjects))

    def draw_episode(number: int) -> None:
        episodes[number]

    return {
        "images_a_second_256px": round(_rate(draw_all, images=len(subjects))),
        "images_a_second_128px_in_episodes": round(_rate(draw_episode, images=65)),
    }


def _rate(run: Callable[[int], None], *, images: int, runs: int = 5) -> float:
    run(0)
    start = time.perf_counter()
    for number in range(1, 1 + runs):
        run(number)
    return images * runs / (time.perf_counter() - start)


if __name__ == "__main__":
    run(main)
