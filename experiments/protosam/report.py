"""Write the table and the picture of the results."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.protosam.measure import Contender, Draw, segment
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.evaluate.metrics import dice

TRUTH, FOUND = "#2a9d3a", "#d62246"


def write_table(file: Path, results: dict) -> None:
    """Write the Markdown table of `results`, as __main__ makes them."""
    names = list(results["contenders"])
    lines = [
        "# One labelled image",
        "",
        f"`{results['command']}`",
        "",
        f"Mean Dice over {results['targets']} targets (fewer in small sets) and {results['draws']} random support "
        f"images, the same for all, on images of {results['resolution']} pixels. Brackets: standard deviation between "
        "support images. Dice is the mean over images; where these are slices of volumes, the second line of a task is "
        "the mean over volumes (at most as many as there are targets elsewhere), of each all slices with the structure "
        "that the set has, together. In sets of fewer than about 30 images, the several examples are the one and "
        "the other targets, without the target's subject. Names of ACDC's slices identify no patients: example "
        "and target may share one. The shipped weights have learned from sets of train, none of heldout.",
        "",
    ]
    for title, measured in results["corpora"].items():
        lines += [f"## {title}", "", f"| task | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
        for task, scores in measured.items():
            best = max(scores[name]["dice"] for name in names)
            cells = []
            for name in names:
                score = scores[name]
                text = f"{score['dice']:.3f}"
                cells.append(
                    (f"**{text}**" if score["dice"] == best else text) + f" ({score['spread over draws']:.3f})"
                )
            lines.append(f"| {task} | {' | '.join(cells)} |")
            volumes = [scores[name]["dice of volumes"] for name in names]
            if volumes[0] is not None:
                lines.append(f"| … its volumes | {' | '.join(f'{value:.3f}' for value in volumes)} |")
        means = [fmean(scores[name]["dice"] for scores in measured.values()) for name in names]
        lines += [f"| **mean of {len(measured)} tasks** | {' | '.join(f'{mean:.3f}' for mean in means)} |", ""]
    file.write_text("\n".join(lines), encoding="utf-8")


def write_picture(
    file: Path, chosen: Sequence[tuple[Corpus, CorpusTask, Draw]], contenders: Sequence[Contender]
) -> None:
    """Draw one row for each task: the support image, and one target segmented by each contender."""
    columns = 1 + len(contenders)
    figure = Figure(figsize=(2.1 * columns, 2.3 * len(chosen) + 0.5), layout="constrained", dpi=110)
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    for row, (corpus, task, draw) in zip(axes, chosen, strict=True):
        target = draw.targets[0]
        only = Draw(draw.support, draw.more, (target,))
        image, label = corpus.read(task, draw.support.image)
        _show(row[0], image, label[..., 0] >= 0.5, None)
        row[0].set_ylabel(task.dataset, fontsize=9)
        image, label = corpus.read(task, target.image)
        truth = label[..., 0] >= 0.5
        for place, contender in zip(row[1:], contenders, strict=True):
            (mask,) = segment(corpus, task, only, contender)
            _show(place, image, truth, mask)
            place.set_xlabel(f"Dice {dice(mask, truth):.2f}", fontsize=9)
    for place, title in zip(axes[0], ["the example", *(contender.name for contender in contenders)], strict=True):
        place.set_title(title, fontsize=10)
    figure.suptitle("Green: true outline. Red: found.", fontsize=10)
    figure.savefig(file)


def _show(axes, image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None) -> None:
    axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    if mask is not None and mask.any():
        axes.contourf(mask, levels=[0.5, 1.5], colors=[FOUND], alpha=0.45)
    if truth.any():
        axes.contour(truth, levels=[0.5], colors=[TRUTH], linewidths=1.3)
