"""Draw each operation, and whole episodes, on the shipped examples."""

from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

import universeg_jax
from experiments.augmentation.operations import rows
from universeg_jax.data.augment import Policy, augment_episode
from universeg_jax.shapes import Array

EXAMPLES = Path(universeg_jax.__file__).parent / "assets" / "examples"
SOURCES = "BBBC038 (CC0) and HC18 (CC BY 4.0, van den Heuvel et al. 2018, doi:10.5281/zenodo.1322001)"
LABEL_COLOUR, OPACITY = np.array([1.0, 0.6, 0.0]), 0.4
CLOSE_UP = slice(24, 80)


def draw() -> Figure:
    figure = plt.figure(figsize=(12, 22), facecolor="white")
    upper, lower = figure.subfigures(2, 1, height_ratios=[6.6, 7])
    _draw_operations(upper)
    _draw_episodes(lower)
    return figure


def _draw_operations(figure: SubFigure) -> None:
    title = "Operations, and how probable the paper makes them for a task and within it; labels in orange"
    figure.text(0.01, 0.985, title, fontsize=13, va="top")
    widths = [1, 1, 1, 1, 0.15, 1, 1, 1, 1]
    shown = rows()
    place = dict(left=0.01, right=0.99, top=0.915, bottom=0.01, wspace=0.04, hspace=0.36, width_ratios=widths)
    grid = figure.add_gridspec(len(shown) // 2, len(widths), **place)
    for i, row in enumerate(shown):
        place, column = divmod(i, 2)
        task, entry = [("nuclei", 0), ("fetal-head", 5)][(place + column) % 2]
        image, label = (arrays[entry] for arrays in _examples(task, entry + 1))
        tiles = {f"{row.title}\noriginal": lambda image, label: (image, label), **row.tiles}
        for j, (caption, operation) in enumerate(tiles.items()):
            axes = figure.add_subplot(grid[place, 5 * column + j])
            axes.set_title(caption, fontsize=9, loc="left", pad=3)
            changed, mask = operation(image, label)
            if row.pixels:
                changed, mask = changed[CLOSE_UP, CLOSE_UP], np.zeros_like(mask)[CLOSE_UP, CLOSE_UP]
            _show(axes, changed, mask)


def _draw_episodes(figure: SubFigure) -> None:
    figure.text(0.01, 0.98, "Episodes. First the target, then seven entries of its support", fontsize=13, va="top")
    shown = [
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
    grid = figure.add_gridspec(len(shown), 8, **place)
    augment = jax.jit(augment_episode, static_argnames="policy")
    for row, (title, task, policy, seed) in enumerate(shown):
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
    """Read the first support images and labels (S,H,W,1) of a shipped task."""
    folder = EXAMPLES / task / "support"
    names = sorted(file.name for file in (folder / "images").glob("*.png"))[:number]
    images, masks = (np.stack([Image.open(folder / kind / name) for name in names]) for kind in ("images", "masks"))
    return images[..., None] / np.float32(255), (masks[..., None] > 0).astype(np.float32)


def _show(axes: Axes, image: Array, label: Array) -> None:
    """Show an image with its label in colour."""
    weight = OPACITY * np.asarray(label)
    axes.imshow(np.clip((1 - weight) * np.asarray(image) + weight * LABEL_COLOUR, 0, 1))
    axes.axis("off")
