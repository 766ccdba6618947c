"""Each operation, and whole episodes, on the shipped examples."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

import universeg_jax
from universeg_jax.tasks.augment import Policy, augment_episode, geometry, pixels
from universeg_jax.typing import Array

EXAMPLES = Path(universeg_jax.__file__).parent / "assets" / "examples"
SOURCES = "BBBC038 (CC0) and HC18 (CC BY 4.0, van den Heuvel et al. 2018, doi:10.5281/zenodo.1322001)"
SIZE = 128
LABEL_COLOUR, OPACITY = np.array([1.0, 0.6, 0.0]), 0.4

Operation = Callable[[Array, Array], tuple[Array, Array]]
"""Of an image and its label map, both (H,W,1)."""


def draw() -> Figure:
    figure = plt.figure(figsize=(12, 21), facecolor="white")
    upper, lower = figure.subfigures(2, 1, height_ratios=[6, 7])
    _draw_operations(upper)
    _draw_episodes(lower)
    return figure


def _draw_operations(figure: SubFigure) -> None:
    rows = list(_operations().items())
    figure.text(0.01, 0.98, "Operations. First the image and its label, then three strengths", fontsize=13, va="top")
    widths = [1, 1, 1, 1, 0.15, 1, 1, 1, 1]
    place = dict(left=0.01, right=0.99, top=0.93, bottom=0.01, wspace=0.04, hspace=0.19, width_ratios=widths)
    grid = figure.add_gridspec(len(rows) // 2, len(widths), **place)
    for i, (title, strengths) in enumerate(rows):
        row, column = divmod(i, 2)
        task, entry = [("nuclei", 0), ("fetal-head", 5)][(row + column) % 2]
        image, label = (arrays[entry] for arrays in _examples(task, entry + 1))
        original = figure.add_subplot(grid[row, 5 * column])
        original.set_title(title, fontsize=9.5, loc="left", pad=3)
        _show(original, image, label)
        for j, operation in enumerate(strengths):
            _show(figure.add_subplot(grid[row, 5 * column + 1 + j]), *operation(image, label))


def _operations() -> dict[str, list[Operation]]:
    """Each operation at strengths from one end of the paper's range to the other."""
    key = jax.random.key(0)
    elastic = partial(geometry.elastic, noise=jax.random.uniform(key, (2, SIZE, SIZE), minval=-1))
    add_noise = partial(pixels.add_gaussian_noise, key)
    (deformed,) = _moves(elastic, alpha=[2.5], sigma=[6.0])
    tone = pixels.adjust_brightness_contrast
    return {
        "flips: horizontal, vertical, both": _moves(
            geometry.flip, vertical=[False, True, True], horizontal=[True, False, True]
        ),
        "rotation: 45°, 160°, 300°": _moves(geometry.affine, rotation=[45.0, 160.0, 300.0]),
        "translation: up to 0.2 of the image": _moves(
            geometry.affine, translation=[(-0.2, 0.0), (0.1, 0.2), (0.2, -0.2)]
        ),
        "scale: 0.8, 0.95, 1.1": _moves(geometry.affine, scale=[0.8, 0.95, 1.1]),
        "elastic: alpha 1, 1.75, 2.5; sigma 8, 7, 6": _moves(elastic, alpha=[1.0, 1.75, 2.5], sigma=[8.0, 7.0, 6.0]),
        "brightness: -0.1, 0.05, 0.1": _changes(tone, brightness=[-0.1, 0.05, 0.1], contrast=[1.0, 1.0, 1.0]),
        "contrast: 0.5, 1.2, 1.5": _changes(tone, brightness=[0.0, 0.0, 0.0], contrast=[0.5, 1.2, 1.5]),
        "blur: sigma 0.3, 0.7, 1.1": _changes(pixels.gaussian_blur, sigma=[0.3, 0.7, 1.1]),
        "noise: mean 0, 0, 0.05; std 0.02, 0.05, 0.05": _changes(
            add_noise, mean=[0.0, 0.0, 0.05], std=[0.02, 0.05, 0.05]
        ),
        "sharpness: factor 0, 2.5, 5": _changes(pixels.adjust_sharpness, factor=[0.0, 2.5, 5.0]),
        "inverse: intensities, label, both": [
            lambda image, label: (1 - image, label),
            lambda image, label: (image, 1 - label),
            lambda image, label: (1 - image, 1 - label),
        ],
        "edges of the label: alone, inverse, deformed first": [
            lambda image, label: (image, pixels.edges(label)),
            lambda image, label: (image, 1 - pixels.edges(label)),
            lambda image, label: (deformed(image, label)[0], pixels.edges(deformed(image, label)[1])),
        ],
    }


def _moves(function: Callable, **strengths: list) -> list[Operation]:
    """Operations from one on coordinates, at several strengths."""

    def operation(image: Array, label: Array, options: dict) -> tuple[Array, Array]:
        coordinates = function(geometry.pixel_grid(SIZE, SIZE), **options)
        return geometry.warp(image, coordinates), geometry.warp(label, coordinates)

    return [partial(operation, options=options) for options in _each(strengths)]


def _changes(function: Callable, **strengths: list) -> list[Operation]:
    """Operations from one on intensities, at several strengths."""
    return [
        lambda image, label, options=options: (function(image=image, **options), label) for options in _each(strengths)
    ]


def _each(strengths: dict[str, list]) -> list[dict]:
    return [dict(zip(strengths, values, strict=True)) for values in zip(*strengths.values(), strict=True)]


def _draw_episodes(figure: SubFigure) -> None:
    figure.text(0.01, 0.98, "Episodes. First the target, then seven entries of its support", fontsize=13, va="top")
    rows = [
        ("as it is", "nuclei", Policy.none(), 0),
        ("in-task augmentation", "nuclei", Policy.in_task_only(), 1),
        ("task augmentation", "nuclei", Policy.task_only(), 11),
        ("both, as UniverSeg was trained", "nuclei", Policy.universeg(), 3),
        ("as it is", "fetal-head", Policy.none(), 0),
        ("both", "fetal-head", Policy.universeg(), 4),
        ("both, another draw", "fetal-head", Policy.universeg(), 10),
    ]
    figure.text(0.01, 0.004, f"Images: {SOURCES}", fontsize=8, va="bottom")
    place = dict(left=0.01, right=0.99, top=0.93, bottom=0.02, wspace=0.04, hspace=0.17)
    grid = figure.add_gridspec(len(rows), 8, **place)
    augment = jax.jit(augment_episode, static_argnames="policy")
    for row, (title, task, policy, seed) in enumerate(rows):
        images, labels = _examples(task, 8)
        target, target_label, *support = augment(
            jax.random.key(seed), images[0], labels[0], images[1:], labels[1:], policy=policy
        )
        for column, pair in enumerate([(target, target_label), *zip(*support, strict=True)]):
            axes = figure.add_subplot(grid[row, column])
            _show(axes, *pair)
            if column == 0:
                axes.set_title(title, fontsize=9.5, loc="left", pad=3)


def _examples(task: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The first support images and labels (S,H,W,1) of a shipped task."""
    folder = EXAMPLES / task / "support"
    names = sorted(file.name for file in (folder / "images").glob("*.png"))[:number]
    images, masks = (np.stack([Image.open(folder / kind / name) for name in names]) for kind in ("images", "masks"))
    return images[..., None] / np.float32(255), (masks[..., None] > 0).astype(np.float32)


def _show(axes: Axes, image: Array, label: Array) -> None:
    """An image, with the label over it in colour."""
    weight = OPACITY * np.asarray(label)
    axes.imshow(np.clip((1 - weight) * np.asarray(image) + weight * LABEL_COLOUR, 0, 1))
    axes.axis("off")
