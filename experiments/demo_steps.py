"""Claim: the official demo's steps, on the same public data (WBC, JTSC), do here what they do there.

    python -m experiments.demo_steps --corpus CORPUS --out experiments/results/demo_steps

The official notebook segments white blood cells (zxaoyou/segmentation_WBC) in these steps:

- cytoplasm from 48 examples, and the same with inverted intensities
- support sizes 1 to 64 as nested prefixes, on three test images
- several labels, predicted independently and combined with softmax(10 sigmoid)
- ensembles of 5 draws of 8 examples
- OASIS from 10 examples; here each of the 5 public OASIS images of MedScribble from the other 4, if CORPUS has them

As in the notebook, `default_rng(42)` permutes the subjects and 70 % are for support. Unlike it, images are scaled to
[0,1] by their own range, and figures are means over 30 test images with bootstrap intervals. Two quiet CPU cores take
four minutes. A stopped run starts again.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from experiments.command import run
from experiments.comparison import about_run
from universeg_jax.cli.shared import add_weights
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import CorpusData
from universeg_jax.evaluate.metrics import dice
from universeg_jax.evaluate.plots import COLOURS
from universeg_jax.evaluate.tables import Table
from universeg_jax.segment.segmenter import Segmenter

SIZES = (1, 2, 4, 8, 16, 32, 64)
SUPPORT, MEMBERS, OF_MEMBER, SHOWN = 48, 5, 8, 3
BACKGROUND, CYTOPLASM, NUCLEUS = range(3)


class Images(NamedTuple):
    """Images (N,H,W) in [0,1] and their class values (N,H,W)."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, chosen) -> "Images":
        return Images(self.images[chosen], self.labels[chosen])


def read(data: CorpusData, dataset: str) -> Images:
    """Read all images of a dataset in the order of their subjects, with class values 1, 2, ... in order of names."""
    tasks = [task for task in data.tasks if task.dataset == dataset]
    if not tasks:
        raise InputError(f"--corpus: holds no {dataset}")
    examples = sorted(data.examples(tasks[0]), key=lambda example: (len(example.subject), example.subject))
    images = np.stack([data.read(tasks[0], e.image)[0][..., 0] for e in examples])
    labels = np.zeros(images.shape, np.uint8)
    for value, task in enumerate(tasks, start=1):
        masks = np.stack([data.read(task, e.image)[1][..., 0] for e in examples])
        labels[masks >= 0.5] = value
    return Images(images, labels)


def steps(segmenter: Segmenter, support: Images, test: Images, rng: np.random.Generator) -> dict[str, list[float]]:
    """Run every step and return the Dice of its test images."""
    binary = partial(_dice_of, segmenter)
    chosen = support.take(rng.choice(len(support.images), SUPPORT, replace=False))
    found = {
        f"cytoplasm from {SUPPORT} examples": binary(chosen, test),
        "the same, intensities inverted": binary(_invert(chosen), _invert(test)),
    }
    nested = support.take(rng.permutation(len(support.images))[: max(SIZES)])
    by_size = {by_name(size): binary(nested.take(slice(size)), test.take(slice(SHOWN))) for size in SIZES}

    masks = segmenter.fit(chosen.images, chosen.labels).predict(test.images)
    for name, value in (("background", BACKGROUND), ("cytoplasm", CYTOPLASM), ("nucleus", NUCLEUS)):
        found[f"three labels from {SUPPORT}: {name}"] = _each(dice, masks == value, test.labels == value)
    draws = [support.take(rng.choice(len(support.images), OF_MEMBER, replace=False)) for _ in range(MEMBERS)]
    tasks = [segmenter.fit(draw.images, draw.labels == CYTOPLASM) for draw in draws]
    probabilities = [task.predict_proba(test.images) for task in tasks]
    single = [_each(dice, p > 0.5, test.labels == CYTOPLASM) for p in probabilities]
    found[f"cytoplasm from {OF_MEMBER}: mean of {MEMBERS} draws"] = np.mean(single, axis=0).tolist()
    found["the best of these draws"] = max(single, key=np.mean)
    found["their ensemble"] = _each(dice, np.mean(probabilities, axis=0) > 0.5, test.labels == CYTOPLASM)
    return found | by_size


def by_name(size: int) -> str:
    return f"cytoplasm from {size}, {SHOWN} test images"


def leave_one_out(segmenter: Segmenter, images: Images) -> list[float]:
    """Compute the Dice of each image, segmented from all others."""
    everything = np.arange(len(images.images))
    return [
        _dice_of(segmenter, images.take(everything != i), images.take(everything == i), value=1)[0] for i in everything
    ]


def plot(found: Mapping[str, Sequence[float]]) -> Figure:
    """Plot Dice against the support size: one line for each test image, and their mean."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained", dpi=120)
    axes = figure.subplots()
    values = np.array([found[by_name(size)] for size in SIZES])
    axes.plot(SIZES, values, color="0.7", linewidth=1)
    axes.plot(
        SIZES, values.mean(axis=1), "o-", color=COLOURS[0], linewidth=2, label=f"mean of {values.shape[1]} test images"
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, map(str, SIZES))
    axes.minorticks_off()
    axes.set(xlabel="support size", ylabel="Dice of cytoplasm")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def table(found: Mapping[str, Sequence[float]], *, title: str) -> Table:
    """Make a table of mean Dice of every step, with a 95 % bootstrap interval over its test images."""
    rows = []
    for name, values in found.items():
        interval = ""
        if len(set(values)) > 1:
            low, high = stats.bootstrap([values], np.mean, method="percentile", rng=0).confidence_interval
            interval = f" [{low:.3f}, {high:.3f}]"
        rows.append((name, f"{np.mean(values):.3f}{interval}"))
    return Table(title, ("step", "Dice"), rows)


def _dice_of(segmenter: Segmenter, support: Images, test: Images, *, value: int = CYTOPLASM) -> list[float]:
    masks = segmenter.fit(support.images, support.labels == value).predict(test.images)
    return _each(dice, masks, test.labels == value)


def _each(metric: Callable, masks: np.ndarray, truths: np.ndarray) -> list[float]:
    return [float(metric(*pair)) for pair in zip(masks, truths, strict=True)]


def _invert(given: Images) -> Images:
    return given._replace(images=1 - given.images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="CORPUS", help="corpus with wbc_jtsc")
    add_weights(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--targets", type=int, default=30, help="test images (default: %(default)s)")
    arguments = parser.parse_args()
    data = CorpusData(Corpus(arguments.corpus))
    segmenter = Segmenter(arguments.weights, window=(0, 1), progress=True)
    wbc = read(data, "wbc_jtsc")
    rng = np.random.default_rng(42)
    order = rng.permutation(len(wbc.images))
    divide = int(0.7 * len(order))
    support, test = wbc.take(order[:divide]), wbc.take(order[divide : divide + arguments.targets])
    found = steps(segmenter, support, test, rng)
    if any(task.dataset == "ms_oasis" for task in data.tasks):
        found["OASIS cortex, each of 5 images from the other 4"] = leave_one_out(segmenter, read(data, "ms_oasis"))
    about, weights = about_run(), Path(arguments.weights).name
    made = table(
        found, title=f"{weights}, {len(test.images)} test images; brackets: 95 % bootstrap intervals over images"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {**about, "weights": weights, "test_images": len(test.images), "dice": found}
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    head = f"# The steps of the official demo\n\n`{about['command']}`\n\n"
    (arguments.out / "tables.md").write_text(f"{head}{made.markdown()}", encoding="utf-8")
    (arguments.out / "tables.tex").write_text(made.latex(), encoding="utf-8")
    plot(found).savefig(arguments.out / "support_size.png")
    print(made.text())


if __name__ == "__main__":
    run(main)
