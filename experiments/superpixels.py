"""Draw superpixel tasks, which are made from images of a corpus without their annotations.

python -m experiments.superpixels --corpus CORPUS --out experiments/results/superpixels.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.data.episodes.superpixels import SuperpixelEpisodes

EPISODES, SUPPORT = 5, 5
PUBLISHED = ("dsb2018_nuclei", "hippocampus_axial", "chasedb1_vessel", "cxr_lung")
"""Datasets whose licences allow showing them: CC0, CC BY-SA 4.0, CC BY 4.0, CC0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--datasets", nargs="+", default=PUBLISHED, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    corpus = Corpus(arguments.corpus)
    tasks = [task for task in corpus.tasks if task.dataset in arguments.datasets]
    draw(SuperpixelEpisodes(corpus, seed=1, support_size=SUPPORT, tasks=tasks)).savefig(arguments.out, dpi=70)


def draw(source: SuperpixelEpisodes) -> Figure:
    """Draw two episodes in each row: the target and its support, with outlined superpixels."""
    figure, grid = plt.subplots(EPISODES, 2 * (1 + SUPPORT), figsize=(16, 7), layout="compressed", facecolor="white")
    figure.suptitle("Superpixel tasks, two in a row: the target, and its support")
    for place, row in enumerate(grid.reshape(-1, 1 + SUPPORT)):
        episode = source[place]
        images = [episode.target, *episode.support_images]
        labels = [episode.target_label, *episode.support_labels]
        for axes, image, label in zip(row, images, labels, strict=True):
            axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
            if label.min() < 0.5 < label.max():
                axes.contour(label[..., 0], levels=[0.5], colors="tab:red")
            axes.axis("off")
        row[0].set_title(source.tasks[int(episode.task)].dataset, fontsize=9)
    return figure


if __name__ == "__main__":
    run(main)
