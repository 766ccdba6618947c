"""Claim: inverted intensities, half the contrast, quarter turns and wrong classes cost most Dice, a little noise least.

    python -m experiments.robustness --corpus CORPUS --out experiments/results/robustness

One thing changes at a time; it is compared case by case with the same network on the same targets and support.

- targets: noise, blur, contrast, inverted intensities, rotation (predictions are rotated back before scoring)
- support: masks grown or shrunk, masks shifted, entries of a wrong class

Intensities enter the network unchanged. `predict` and `Segmenter` scale each image by its own range, which would undo a
change of contrast. CORPUS and protocol are as in experiments/evaluate.py, with 12 targets a task and 1 draw. Two quiet
CPU cores take eight minutes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage

from experiments.command import run
from experiments.comparison import held_out, make_parser, network_of, protocol_of, report
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.evaluate.data import Labelled, SupportPool
from universeg_jax.evaluate.methods import InContext
from universeg_jax.evaluate.runner import evaluate, largest_support
from universeg_jax.shapes import Array

Change = Callable[[np.random.Generator, Array], Array]
"""A change of images or masks (N,H,W,1) in [0,1]."""


@dataclass(frozen=True, eq=False)
class Changed:
    """A network with changed targets, or with changed masks in its support.

    Args:
        name: name of the change.
        targets, masks: changes of each.
        undo: inverse of `targets`, for predictions.
    """

    base: InContext
    name: str
    targets: Change | None = None
    masks: Change | None = None
    undo: Change | None = None

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, {self.name}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        support = pool.first(support_size)
        if self.masks:
            support = support._replace(labels=self.masks(rng, support.labels))
        shown = self.targets(rng, targets) if self.targets else targets
        probability = self.base.segment(support, shown.astype(np.float32))
        return self.undo(rng, probability) if self.undo else probability


@dataclass(frozen=True, eq=False)
class WrongEntries:
    """A network with a part of its support entries replaced by a wrong class.

    In a dataset of several classes, the image stays and shows the mask of another class, which may be empty. Otherwise
    image and mask come from another dataset.
    """

    base: InContext
    tasks: Sequence[CorpusTask]
    part: float

    @property
    def name(self) -> str:
        return f"support: {100 * self.part:g}% of the entries of a wrong class"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, {self.name}"

    def predict(self, rng: np.random.Generator, pool: SupportPool, support_size: int, targets: Array) -> np.ndarray:
        images, labels = (array.copy() for array in pool.first(support_size))
        of_dataset = [t for t in self.tasks if t.dataset == pool.task.dataset and t != pool.task]
        elsewhere = [t for t in self.tasks if t.dataset != pool.task.dataset]
        for place in range(round(self.part * len(images))):
            if of_dataset:
                task = of_dataset[rng.integers(len(of_dataset))]
                labels[place] = pool.data.read(task, pool.examples[place].image)[1]
            else:
                task = elsewhere[rng.integers(len(elsewhere))]
                candidates = [e for e in pool.data.examples(task) if e.split == "train" and e.area >= 0.001]
                example = candidates[rng.integers(len(candidates))]
                images[place], labels[place] = pool.data.read(task, example.image)
        return self.base.segment(Labelled(images, labels), targets)


def conditions(network: InContext, tasks: Sequence[CorpusTask]) -> list:
    """List the network unchanged, and with each of the changes."""

    def on_targets(name: str, change: Change, undo: Change | None = None) -> Changed:
        return Changed(network, name, targets=change, undo=undo)

    rotations = [
        on_targets(
            f"target: rotation by {degrees}°", partial(rotate, degrees=degrees), partial(rotate, degrees=-degrees)
        )
        for degrees in (15, 45, 90)
    ]
    return [
        network,
        *(on_targets(f"target: noise, deviation {std}", partial(add_noise, std=std)) for std in (0.05, 0.1, 0.2)),
        *(on_targets(f"target: blur, sigma {sigma} pixels", partial(blur, sigma=sigma)) for sigma in (1, 2)),
        *(on_targets(f"target: contrast times {factor}", partial(contrast, factor=factor)) for factor in (0.5, 2)),
        on_targets("target: inverted intensities", lambda _, images: 1 - images),
        *rotations,
        Changed(network, "support: masks grown or shrunk by 3 pixels", masks=partial(grow_or_shrink, pixels=3)),
        Changed(network, "support: masks shifted by 6 pixels", masks=partial(shift, pixels=6)),
        *(WrongEntries(network, tasks, part) for part in (0.125, 0.25, 0.5)),
    ]


def add_noise(rng: np.random.Generator, images: Array, *, std: float) -> Array:
    return np.clip(images + std * rng.standard_normal(images.shape), 0, 1)


def blur(rng: np.random.Generator, images: Array, *, sigma: float) -> Array:
    return ndimage.gaussian_filter(images, sigma, axes=(1, 2))


def contrast(rng: np.random.Generator, images: Array, *, factor: float) -> Array:
    """Scale the intensities around the mean of their image."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return np.clip(mean + factor * (images - mean), 0, 1)


def rotate(rng: np.random.Generator, images: Array, *, degrees: float) -> Array:
    """Rotate around the centre with linear interpolation, and fill up with the border.

    Zeros would help predictions that are rotated back: the corners could hold nothing false.
    """
    return ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1, mode="nearest").clip(0, 1)


def grow_or_shrink(rng: np.random.Generator, masks: Array, *, pixels: int) -> Array:
    """Grow or shrink each mask at random; grow masks that would vanish."""
    changed = []
    for mask in masks[..., 0] >= 0.5:
        small = ndimage.binary_erosion(mask, iterations=pixels, border_value=1)
        grown = ndimage.binary_dilation(mask, iterations=pixels)
        changed.append(small if rng.random() < 0.5 and small.any() else grown)
    return np.stack(changed)[..., None].astype(np.float32)


def shift(rng: np.random.Generator, masks: Array, *, pixels: int) -> Array:
    """Shift each mask in a random direction."""
    angles = rng.uniform(0, 2 * np.pi, len(masks))
    moved = [
        ndimage.shift(mask[..., 0], (pixels * np.sin(angle), pixels * np.cos(angle)), order=1)
        for mask, angle in zip(masks, angles, strict=True)
    ]
    return np.stack(moved)[..., None].clip(0, 1)


def main() -> None:
    arguments = make_parser(__doc__, support=[16], draws=1, targets=12).parse_args()
    network, protocol = network_of(arguments), protocol_of(arguments)
    data, tasks = held_out(arguments)
    methods = conditions(network, tasks)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=tasks, progress=True)
    report(arguments, evaluation, data, methods, protocol, baseline=largest_support(evaluation.summaries))


if __name__ == "__main__":
    run(main)
