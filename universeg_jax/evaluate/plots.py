"""Plot results, and picture the best, median and worst predictions of every task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.evaluate.data import Data, Fold
from universeg_jax.evaluate.methods import Method
from universeg_jax.evaluate.protocol import EvaluationProtocol
from universeg_jax.evaluate.records import Record
from universeg_jax.evaluate.runner import TaskRun
from universeg_jax.evaluate.summary import Cells, Condition, Estimate, Summary, difference, summarise
from universeg_jax.io.sheet import SUPPORT_SHOWN, Result, Section, ShownExample

# Okabe and Ito's colours, which people with colour blindness can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "v", "D", "x", "+")
LABEL = "Dice"


def support_size_curve(summaries: Mapping[Condition, Summary]) -> Figure:
    """Plot Dice against the support size: means over tasks with intervals, and datasets of the longest curve."""
    figure = Figure(figsize=(7.4, 4.2), layout="constrained", dpi=120)
    axes = figure.subplots()
    curves = _curves([condition for condition in summaries if condition.support is not None])
    longest = max(curves, key=lambda name: len(curves[name]))
    _thin_lines(axes, longest, curves[longest], [summaries[condition] for condition in curves[longest]])
    for (name, conditions), colour in zip(curves.items(), _colours(len(curves)), strict=True):
        _with_band(axes, conditions, [summaries[c].over_tasks for c in conditions], colour, name)
    _support_axis(axes, [size for conditions in curves.values() for size in _sizes(conditions)])
    axes.set_ylabel(f"{LABEL}, mean over tasks")
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


def ensembling_gain(cells: Mapping[Condition, Cells], base: str, ensemble: str) -> Figure:
    """Plot the paired gain in Dice of an ensemble over its base, for each pool, with intervals."""
    figure = Figure(figsize=(7.0, 3.8), layout="constrained", dpi=120)
    axes = figure.subplots()
    conditions = [c for c in cells if c.method == ensemble and c.support is not None]
    gains = {c: summarise(difference(cells[c], cells[c._replace(method=base)])) for c in conditions}
    curves = {
        "" if of_pool[0].pool is None else f"pool of {of_pool[0].pool}": of_pool
        for of_pool in _curves(conditions).values()
    }
    longest = max(curves, key=lambda pool: len(curves[pool]))
    _thin_lines(axes, longest, curves[longest], [gains[condition] for condition in curves[longest]])
    for (pool, of_pool), colour in zip(curves.items(), _colours(len(curves)), strict=True):
        label = f"mean over tasks, {pool}".removesuffix(", ")
        _with_band(axes, of_pool, [gains[condition].over_tasks for condition in of_pool], colour, label)
    axes.axhline(0, color="0.3", linewidth=0.8)
    _support_axis(axes, _sizes(conditions))
    axes.set_ylabel(f"{LABEL} gained by {ensemble.removeprefix(base).lstrip(', ')}")
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


def dataset_bars(summaries: Mapping[str, Summary]) -> Figure:
    """Plot the Dice of every dataset with intervals, a bar for each named summary."""
    datasets = sorted({name for summary in summaries.values() for name in summary.datasets})
    groups = [*datasets, "mean over tasks"]
    figure = Figure(
        figsize=(max(5.0, 1.2 + 0.4 * len(groups) * (1 + len(summaries)) ** 0.75), 4.0), layout="constrained", dpi=120
    )
    axes = figure.subplots()
    width = 0.8 / len(summaries)
    for i, ((name, summary), colour) in enumerate(zip(summaries.items(), _colours(len(summaries)), strict=True)):
        estimates = [*(summary.datasets.get(dataset) for dataset in datasets), summary.over_tasks]
        places = [place for place, estimate in enumerate(estimates) if estimate]
        known = [estimate for estimate in estimates if estimate]
        means = np.array([estimate.mean[0] for estimate in known])
        x = np.array(places) + (i - (len(summaries) - 1) / 2) * width
        axes.bar(x, means, 0.92 * width, color=colour, label=name)
        certain = np.array([estimate.low is not None for estimate in known])
        if certain.any():
            low, high = (
                np.array([getattr(e, side)[0] for e in known if e.low is not None]) for side in ("low", "high")
            )
            axes.errorbar(
                x[certain],
                means[certain],
                np.maximum([means[certain] - low, high - means[certain]], 0),
                fmt="none",
                ecolor="0.25",
                elinewidth=1,
                capsize=2,
            )
    axes.set_xticks(range(len(groups)), [g.replace("_", " ") for g in groups], rotation=30, ha="right", fontsize=8)
    axes.set(ylabel=LABEL, ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    # As many columns as fit, each with a key and a name, in inches.
    columns = int(figure.get_figwidth() / (0.5 + 0.06 * max(map(len, summaries))))
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=max(1, min(columns, len(summaries))))
    return figure


def differences(summaries: Mapping[str, Summary], baseline: str) -> Figure:
    """Plot differences in Dice from a baseline with intervals, a row for each named difference."""
    figure = Figure(figsize=(7.0, 1.0 + 0.3 * len(summaries)), layout="constrained", dpi=120)
    axes = figure.subplots()
    for row, summary in enumerate(summaries.values()):
        estimate = summary.over_tasks
        for i, of_dataset in enumerate(summary.datasets.values()):
            marker = MARKERS[i % len(MARKERS)]
            axes.plot(of_dataset.mean[0], row, marker=marker, markersize=4, color="0.65", zorder=1)
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low[0], estimate.high[0]], [row, row], color=COLOURS[0], linewidth=2, zorder=2)
        axes.plot(estimate.mean[0], row, "o", color=COLOURS[0], zorder=3)
    datasets = next(iter(summaries.values())).datasets
    for i, dataset in enumerate(datasets):
        label, marker = dataset.replace("_", " "), MARKERS[i % len(MARKERS)]
        axes.plot([], [], marker=marker, linestyle="none", markersize=4, color="0.65", label=label)
    axes.plot([], [], marker="o", color=COLOURS[0], linewidth=2, label="mean over tasks")
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_yticks(range(len(summaries)), list(summaries), fontsize=8)
    axes.set_ylim(len(summaries) - 0.5, -0.5)
    axes.set_xlabel(f"difference in {LABEL} from {baseline}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


def write(figure: Figure, file: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(file, format="png", facecolor="white")


def _curves(conditions: list[Condition]) -> dict[str, list[Condition]]:
    """Group conditions by method and pool, sorted by support size."""
    curves: dict[str, list[Condition]] = {}
    for condition in sorted(conditions, key=lambda condition: condition.size):
        name = condition.method if condition.pool is None else f"{condition.method}, pool of {condition.pool}"
        curves.setdefault(name, []).append(condition)
    order = list(dict.fromkeys(condition.method for condition in conditions))
    return dict(sorted(curves.items(), key=lambda entry: order.index(entry[1][0].method)))


def _sizes(conditions: Sequence[Condition]) -> list[int]:
    return [condition.support for condition in conditions if condition.support is not None]


def _with_band(axes: Axes, conditions: list[Condition], estimates: list[Estimate], colour: str, label: str) -> None:
    sizes = _sizes(conditions)
    axes.plot(sizes, [e.mean[0] for e in estimates], color=colour, marker="o", linewidth=2, label=label, zorder=3)
    intervals = [(e.low[0], e.high[0]) for e in estimates if e.low is not None and e.high is not None]
    if len(intervals) == len(estimates):
        low, high = zip(*intervals, strict=True)
        if len(sizes) > 1:
            axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
        else:  # a band would have no width
            axes.vlines(sizes, low, high, color=colour, linewidth=1.5, zorder=3)


def _thin_lines(axes: Axes, name: str, conditions: list[Condition], summaries: Sequence[Summary]) -> None:
    """Draw a thin line without interval for each dataset, if there are several."""
    datasets = summaries[0].datasets
    if len(datasets) == 1:
        return
    if name:
        axes.plot([], [], " ", label=f"{name}:")
    for i, dataset in enumerate(datasets):
        style, marker = LINE_STYLES[i % len(LINE_STYLES)], MARKERS[i % len(MARKERS)]
        [line] = axes.plot(
            _sizes(conditions),
            [summary.datasets[dataset].mean[0] for summary in summaries],
            label=dataset.replace("_", " "),
            linestyle=style,
            marker=marker,
        )
        line.set(color="0.6", markersize=3.5, linewidth=1, zorder=1)


def _support_axis(axes: Axes, sizes: list[int]) -> None:
    sizes = sorted(set(sizes))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, map(str, sizes))
    axes.minorticks_off()
    axes.set_xlabel("support size")
    axes.spines[["top", "right"]].set_visible(False)


def _colours(number: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(number)]


OF_EACH = 4
FOREGROUND = 1


def picture_sections(
    data: Data, task: CorpusTask, folds: Sequence[Fold], method: Method, record: Record, protocol: EvaluationProtocol
) -> list[Section]:
    """Segment the best, middle and worst cases of a record again, and lay them out for `write_overview`.

    Each fold has a section, with the examples that its cases were segmented with. Volumes are shown by the slice with
    the largest structure.
    """
    chosen = choose_pictures(record.scores[:, 0].tolist())
    wanted = {record.cases[i]: (what, record.scores[i, 0]) for i, what in chosen}
    # Only the chosen cases. All folds keep their place, because draws depend on the number of the fold.
    folds = [Fold(support, tuple(c for c in cases if c.name in wanted)) for support, cases in folds]
    of_task = TaskRun(data, task, folds, protocol)
    sections = []
    for number, fold in enumerate(folds):
        if not fold.cases:
            continue
        results = {}
        probabilities, _ = of_task.predict(method, record.key, number)
        for case, probability in zip(fold.cases, probabilities, strict=True):
            images, labels = of_task.read(case)
            shown = int(labels.sum((1, 2, 3)).argmax())
            what, dice = wanted[case.name]
            results[case.name] = Result(
                f"{what}: {case.name}",
                images[shown, ..., 0],
                (probability[shown] > protocol.threshold).astype(np.int32),
                (labels[shown, ..., 0] >= 0.5).astype(np.int32),
                float(dice),
            )
        pool, size = of_task.pool(record.key, number), min(SUPPORT_SHOWN, record.shown)
        examples = [
            ShownExample(data.name(example.image), image[..., 0], (label[..., 0] >= 0.5).astype(np.int32))
            for example, image, label in zip(pool.examples, *pool.first(size), strict=False)
        ]
        note = (
            f"{record.shown} labelled examples{'' if size == record.shown else f' ({size} shown)'}, above; "
            f"of {len(record.cases)} cases the best, middle and worst, below; "
            f"mean Dice {record.scores[:, 0].mean():.3f}"
        )
        title = f"{task.name}, segmented by {method.name}"
        if len(folds) > 1:
            title += f", fold {number + 1} of {len(folds)}"
        pictured = [results[name] for name in wanted if name in results]
        sections.append(Section(title, note, {FOREGROUND: task.label}, examples, pictured))
    return sections


def choose_pictures(dices: Sequence[float]) -> list[tuple[int, str]]:
    """Choose the best, median and worst cases, at most OF_EACH of each, as (index, kind)."""
    order = sorted(range(len(dices)), key=lambda i: -dices[i])
    each = min(OF_EACH, -(-len(order) // 3))
    middle = (len(order) - each) // 2
    groups = {"best": order[:each], "median": order[middle : middle + each], "worst": order[-each:]}
    chosen: dict[int, str] = {}
    for what, indices in groups.items():
        for i in indices:
            chosen.setdefault(i, what)
    return list(chosen.items())
