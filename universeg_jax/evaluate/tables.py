"""Lay out results as tables in Markdown, LaTeX and plain text, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.evaluate.metrics import METRICS
from universeg_jax.evaluate.summary import Condition, Estimate, Summary

HEADINGS = {
    "dice": "Dice",
    "soft_dice": "soft Dice",
    "iou": "IoU",
    "surface_dice": "surface Dice",
    "hausdorff95": "Hausdorff 95 %",
}

WIDEST = 4  # largest number of conditions in columns


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the row."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table in Markdown."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(_bar_free(line))} |" for line in lines) + "\n"

    def latex(self) -> str:
        """Return a floating table for LaTeX, for the package booktabs."""
        lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (self.headings, *self.rows)]
        columns = "l" + "r" * (len(self.headings) - 1)
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_escaped(self.title)}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                lines[0],
                r"\midrule",
                *lines[1:],
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def text(self) -> str:
        """Return the table for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = [self.headings, ["-" * width for width in widths], *self.rows]
        cells = (
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
            for line in lines
        )
        return "\n".join([self.title, *("  ".join(line).rstrip() for line in cells)])


def condition_name(condition: Condition) -> str:
    """Return the name of a condition in tables and plots."""
    pool = "" if condition.pool is None else f", pool of {condition.pool}"
    return f"{condition.method}, support {'all' if condition.support is None else condition.support}{pool}"


def overview_table(summaries: Mapping[Condition, Summary]) -> Table:
    """Make a table with a row for each condition: all metrics over tasks, and Dice over datasets."""
    first = next(iter(summaries.values()))
    several = len(first.datasets) > 1
    rows = [
        [condition_name(condition), *_cells(s.over_tasks), *([_of(s.over_datasets)] if several else [])]
        for condition, s in summaries.items()
    ]
    headings = ["", *(HEADINGS[m] for m in METRICS), *(["Dice, mean over datasets"] if several else [])]
    return Table(_mean_over(first), headings, rows)


def task_table(condition: Condition, summary: Summary) -> Table:
    """Make a table of one condition with a row for each task, then the means."""
    rows = [[task, str(summary.cases[task]), *_cells(estimate)] for task, estimate in summary.tasks.items()]
    if len(summary.tasks) > 1:
        rows.append([f"mean over {len(summary.tasks)} tasks", "", *_cells(summary.over_tasks)])
    if len(summary.datasets) > 1:
        rows.append([f"mean over {len(summary.datasets)} datasets", "", *_cells(summary.over_datasets)])
    return Table(condition_name(condition), ["task", "cases", *(HEADINGS[m] for m in METRICS)], rows)


def dice_table(summaries: Mapping[Condition, Summary]) -> Table:
    """Make a table of Dice by task and condition. Many conditions become rows, few become columns."""
    conditions = list(summaries)
    if len(conditions) > WIDEST:
        return _dice_by_condition(summaries)
    first = summaries[conditions[0]]
    rows = [[task, *(_of(summaries[c].tasks.get(task)) for c in conditions)] for task in first.tasks]
    rows += [
        [f"{name} (dataset)", *(_of(summaries[c].datasets.get(name)) for c in conditions)] for name in _several(first)
    ]
    if len(first.tasks) > 1:
        rows.append(["mean over tasks", *(_of(summaries[c].over_tasks) for c in conditions)])
    if len(first.datasets) > 1:
        rows.append(["mean over datasets", *(_of(summaries[c].over_datasets) for c in conditions)])
    return Table("Dice by task", ["", *map(condition_name, conditions)], rows)


def _dice_by_condition(summaries: Mapping[Condition, Summary]) -> Table:
    """Make the table with conditions as rows, without intervals."""
    tasks = list(next(iter(summaries.values())).tasks)
    rows = [
        [condition_name(c), *(f"{s.tasks[task].mean[0]:.3f}" if task in s.tasks else "-" for task in tasks)]
        for c, s in summaries.items()
    ]
    return Table("Dice by task", ["", *tasks], rows)


def difference_table(baseline: Condition, differences: Mapping[Condition, Summary]) -> Table:
    """Make a table with a row for each condition: its paired difference from the baseline, mean over tasks."""
    rows = [
        [condition_name(condition), *(with_interval(s.over_tasks, i, signed=True) for i in range(len(METRICS)))]
        for condition, s in differences.items()
    ]
    return Table(f"Difference from {condition_name(baseline)}", ["", *(HEADINGS[m] for m in METRICS)], rows)


def with_interval(estimate: Estimate, metric: int, *, signed: bool = False) -> str:
    """Format mean and interval, as in 0.66 [0.63, 0.69]. Distances have one decimal, overlaps three."""
    digits = 1 if METRICS[metric] == "hausdorff95" else 3
    form = f"{{:{'+' if signed else ''}.{digits}f}}"
    mean = form.format(estimate.mean[metric])
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} [{form.format(estimate.low[metric])}, {form.format(estimate.high[metric])}]"


def summary_to_json(summary: Summary, spread: Mapping[str, np.ndarray | None] | None = None) -> dict:
    """Return a summary as JSON can hold it.

    Args:
        summary: to convert.
        spread: standard deviation over the draws, by task; None for a single draw.
    """
    tasks = {}
    for task, estimate in summary.tasks.items():
        metrics = _estimate_to_json(estimate)
        if spread:
            deviations = spread[task]
            for i, metric in enumerate(METRICS):
                metrics[metric]["deviation_over_draws"] = None if deviations is None else _rounded(deviations[i])
        tasks[task] = {"cases": summary.cases[task], "subjects": summary.subjects[task], **metrics}
    return {
        "mean_over_tasks": _estimate_to_json(summary.over_tasks),
        "mean_over_datasets": _estimate_to_json(summary.over_datasets),
        "datasets": {name: _estimate_to_json(estimate) for name, estimate in summary.datasets.items()},
        "tasks": tasks,
    }


def _estimate_to_json(estimate: Estimate) -> dict[str, dict[str, float | None]]:
    parts = {"mean": estimate.mean}
    if estimate.low is not None and estimate.high is not None:
        parts |= {"low": estimate.low, "high": estimate.high}
    return {metric: {k: _rounded(v[i]) for k, v in parts.items()} for i, metric in enumerate(METRICS)}


def _rounded(value: np.ndarray) -> float:
    return round(float(value), 5)


def _mean_over(summary: Summary) -> str:
    tasks, datasets = len(summary.tasks), len(summary.datasets)
    if tasks == 1:
        return next(iter(summary.tasks))
    return f"Mean over {tasks} tasks of {datasets} dataset{'' if datasets == 1 else 's'}"


def _cells(estimate: Estimate) -> list[str]:
    return [with_interval(estimate, i) for i in range(len(METRICS))]


def _of(estimate: Estimate | None) -> str:
    return "-" if estimate is None else with_interval(estimate, 0)


def _several(summary: Summary) -> list[str]:
    """Return the datasets with more than one task."""
    owners = [task.split("/")[0] for task in summary.tasks]
    return [name for name in summary.datasets if owners.count(name) > 1]


def _bar_free(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
