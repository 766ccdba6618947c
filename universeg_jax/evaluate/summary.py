"""From records to means with intervals.

The mean over draws is taken first, for each case; then over the cases of a task, over tasks, and over datasets.
Intervals are 95 % bootstrap intervals (percentiles) over subjects: of each dataset the subjects are drawn anew, with
replacement, together with all their cases in all its tasks. Tasks, datasets and draws of the support stay as they are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from universeg_jax.evaluate.records import Key, Record
from universeg_jax.util.random import generator

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)  # percentiles


class Condition(NamedTuple):
    """What is compared in a table: a method, shown so many examples from a pool."""

    method: str
    support: int | None
    pool: int | None

    @classmethod
    def of(cls, key: Key) -> "Condition":
        return cls(key.method, key.support, key.pool)

    @property
    def whole(self) -> bool:
        """Whether all examples of the pool are shown, so that none are left to choose."""
        return self.support is None or self.support == self.pool

    @property
    def size(self) -> float:
        """To sort by: all examples are more than any number."""
        return float("inf") if self.support is None else self.support


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval, of each metric.

    Attributes:
        mean: (number of metrics,).
        low, high: the same; None where no task has more than one subject, so that nothing can be said.
    """

    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


Cells = Mapping[str, Mapping[tuple[str, str], np.ndarray]]
"""Of each task, the scores (number of metrics,) of each case, which is (subject, name)."""


@dataclass(frozen=True)
class Summary:
    """Estimates of one condition, or of the difference of two.

    Attributes:
        tasks, datasets: by name.
        over_tasks, over_datasets: mean over the tasks; mean over the datasets of the means over their tasks.
        cases, subjects: their numbers, by task.
    """

    tasks: dict[str, Estimate]
    datasets: dict[str, Estimate]
    over_tasks: Estimate
    over_datasets: Estimate
    cases: dict[str, int]
    subjects: dict[str, int]


def by_condition(records: Iterable[Record]) -> dict[Condition, Cells]:
    """The mean over the draws of each case, for each condition."""
    drawn: dict[Condition, dict[str, dict[tuple[str, str], list[np.ndarray]]]] = {}
    for record in records:
        condition = Condition.of(record.key)
        of_task = drawn.setdefault(condition, {}).setdefault(record.key.task, {})
        for subject, case, scores in zip(record.subjects, record.cases, record.scores, strict=True):
            of_task.setdefault((subject, case), []).append(scores)
    return {
        condition: {
            task: {case: np.mean(scores, axis=0) for case, scores in cases.items()} for task, cases in tasks.items()
        }
        for condition, tasks in drawn.items()
    }


def spread_over_draws(records: Iterable[Record]) -> dict[tuple[Condition, str], np.ndarray | None]:
    """Standard deviation over the draws of the mean of a task, of each metric; None for a single draw."""
    means: dict[tuple[Condition, str], list[np.ndarray]] = {}
    for record in records:
        means.setdefault((Condition.of(record.key), record.key.task), []).append(record.scores.mean(axis=0))
    return {key: np.std(values, axis=0, ddof=1) if len(values) > 1 else None for key, values in means.items()}


def only(cells: Cells, tasks: Iterable[str]) -> Cells:
    """Those tasks alone."""
    return {task: cells[task] for task in tasks}


def difference(one: Cells, other: Cells) -> Cells:
    """Case by case, `one` minus `other`: the interval of a paired comparison is that of these differences."""
    return {
        task: {case: scores - other[task][case] for case, scores in cases.items() if case in other[task]}
        for task, cases in one.items()
        if task in other
    }


def summarise(cells: Cells, *, resamples: int = RESAMPLES, seed: int = 0) -> Summary:
    """Means and intervals. The same seed gives the same intervals, to a dataset whatever others are summarised."""
    if not cells:
        raise ValueError("there is nothing to summarise: no tasks")
    datasets: dict[str, list[str]] = {}
    for task in cells:
        datasets.setdefault(task.split("/")[0], []).append(task)

    means: dict[str, np.ndarray] = {}  # of each task: (1 + resamples, metrics), the first of the data themselves
    for dataset, tasks in datasets.items():
        rng = generator(seed, "bootstrap", dataset)  # by its name: whatever other datasets there are
        subjects = sorted({subject for task in tasks for subject, _ in cells[task]})
        drawn = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), size=resamples)
        times = np.vstack([np.ones(len(subjects)), drawn])
        for task in tasks:
            means[task] = _weighted_means(cells[task], subjects, times)

    of_datasets = {name: np.mean([means[task] for task in tasks], axis=0) for name, tasks in datasets.items()}
    number = {task: len({subject for subject, _ in cases}) for task, cases in cells.items()}
    certain = max(number.values()) == 1  # no task has a subject that another could be drawn for
    return Summary(
        {task: _estimate(means[task], certain=number[task] == 1) for task in cells},
        {
            name: _estimate(of_datasets[name], certain=max(number[task] for task in tasks) == 1)
            for name, tasks in datasets.items()
        },
        _estimate(np.mean([means[task] for task in cells], axis=0), certain=certain),
        _estimate(np.mean(list(of_datasets.values()), axis=0), certain=certain),
        {task: len(cases) for task, cases in cells.items()},
        number,
    )


def _weighted_means(cases: Mapping, subjects: list[str], times: np.ndarray) -> np.ndarray:
    """Mean over cases, each counted as often as its subject was drawn.

    Args:
        times: (R,subjects), how often each was drawn.

    Returns:
        (R,metrics). A draw without any subject that has a case in this task is left at the task's mean.
    """
    place = {subject: i for i, subject in enumerate(subjects)}
    scores = np.stack(list(cases.values()))
    weights = times[:, [place[subject] for subject, _ in cases]]
    total = weights.sum(axis=1, keepdims=True)
    return np.where(total > 0, weights @ scores / np.maximum(total, 1), scores.mean(axis=0))


def _estimate(means: np.ndarray, *, certain: bool) -> Estimate:
    if certain:
        return Estimate(means[0], None, None)
    low, high = np.percentile(means[1:], INTERVAL, axis=0)
    return Estimate(means[0], low, high)
