"""Summarise records as means with intervals.

Means are taken over the draws of each case, then over cases, tasks and datasets. Intervals are 95 % bootstrap intervals
(percentiles) over subjects. The subjects of each dataset are drawn with replacement, together with all their cases.
Tasks, datasets and draws of the support stay fixed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from universeg_jax.evaluate.records import Key, Record
from universeg_jax.util.random import generator

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)  # percentiles
FEWEST_SUBJECTS = 3  # fewest subjects of each task for an interval


class Condition(NamedTuple):
    """A row or column of a table: a method, a support size and a pool."""

    method: str
    support: int | None
    pool: int | None

    @classmethod
    def of(cls, key: Key) -> "Condition":
        """Return the condition of a measurement."""
        return cls(key.method, key.support, key.pool)

    @property
    def whole(self) -> bool:
        """True if all examples of the pool are shown, so that there is no choice."""
        return self.support is None or self.support == self.pool

    @property
    def size(self) -> float:
        """Support size for sorting, where all examples count as infinite."""
        return float("inf") if self.support is None else self.support


@dataclass(frozen=True)
class Estimate:
    """Mean and interval of each metric.

    Attributes:
        mean: (metrics,).
        low, high: (metrics,), or None if a task has fewer than `FEWEST_SUBJECTS` subjects.
    """

    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


Cells = Mapping[str, Mapping[tuple[str, str], np.ndarray]]
"""Scores (metrics,) by task, and by case as (subject, name)."""


@dataclass(frozen=True)
class Summary:
    """Estimates of one condition, or of the difference of two.

    Attributes:
        tasks, datasets: estimates by name.
        over_tasks: mean over the tasks.
        over_datasets: mean over the datasets, each the mean over its tasks.
        cases, subjects: numbers of cases and subjects, by task.
    """

    tasks: dict[str, Estimate]
    datasets: dict[str, Estimate]
    over_tasks: Estimate
    over_datasets: Estimate
    cases: dict[str, int]
    subjects: dict[str, int]


def by_condition(records: Iterable[Record]) -> dict[Condition, Cells]:
    """Return the mean over the draws of each case, for each condition."""
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
    """Return the standard deviation over the draws of each task's mean, for each metric; None for a single draw."""
    means: dict[tuple[Condition, str], list[np.ndarray]] = {}
    for record in records:
        means.setdefault((Condition.of(record.key), record.key.task), []).append(record.scores.mean(axis=0))
    return {key: np.std(values, axis=0, ddof=1) if len(values) > 1 else None for key, values in means.items()}


def only(cells: Cells, tasks: Iterable[str]) -> Cells:
    """Return the cells of some tasks."""
    return {task: cells[task] for task in tasks}


def difference(one: Cells, other: Cells) -> Cells:
    """Return `one` minus `other` case by case. Summarise it for a paired comparison."""
    return {
        task: {case: scores - other[task][case] for case, scores in cases.items() if case in other[task]}
        for task, cases in one.items()
        if task in other
    }


def summarise(cells: Cells, *, resamples: int = RESAMPLES, seed: int = 0) -> Summary:
    """Return means and intervals. The intervals of a dataset depend on the seed, not on other datasets."""
    if not cells:
        raise ValueError("there is nothing to summarise: no tasks")
    datasets: dict[str, list[str]] = {}
    for task in cells:
        datasets.setdefault(task.split("/")[0], []).append(task)

    means: dict[str, np.ndarray] = {}  # by task: (1 + resamples, metrics); row 0 is the mean without resampling
    for dataset, tasks in datasets.items():
        rng = generator(seed, "bootstrap", dataset)  # named after the dataset, so that other datasets have no effect
        subjects = sorted({subject for task in tasks for subject, _ in cells[task]})
        drawn = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), size=resamples)
        times = np.vstack([np.ones(len(subjects)), drawn])
        for task in tasks:
            means[task] = _weighted_means(cells[task], subjects, times)

    of_datasets = {name: np.mean([means[task] for task in tasks], axis=0) for name, tasks in datasets.items()}
    number = {task: len({subject for subject, _ in cases}) for task, cases in cells.items()}
    # A task with one subject adds no variance to a mean, and with two hardly any: the interval would be too narrow.
    enough = {task: subjects >= FEWEST_SUBJECTS for task, subjects in number.items()}
    return Summary(
        {task: _estimate(means[task], interval=enough[task]) for task in cells},
        {
            name: _estimate(of_datasets[name], interval=all(enough[task] for task in tasks))
            for name, tasks in datasets.items()
        },
        _estimate(np.mean([means[task] for task in cells], axis=0), interval=all(enough.values())),
        _estimate(np.mean(list(of_datasets.values()), axis=0), interval=all(enough.values())),
        {task: len(cases) for task, cases in cells.items()},
        number,
    )


def _weighted_means(cases: Mapping, subjects: list[str], times: np.ndarray) -> np.ndarray:
    """Return the mean over cases, weighted by the number of draws of their subjects.

    Args:
        cases: scores by (subject, name).
        subjects: names of all subjects.
        times: (R,subjects), number of draws of each subject.

    Returns:
        (R,metrics). A row without any case of this task is the plain mean.
    """
    place = {subject: i for i, subject in enumerate(subjects)}
    scores = np.stack(list(cases.values()))
    weights = times[:, [place[subject] for subject, _ in cases]]
    total = weights.sum(axis=1, keepdims=True)
    return np.where(total > 0, weights @ scores / np.maximum(total, 1), scores.mean(axis=0))


def _estimate(means: np.ndarray, *, interval: bool) -> Estimate:
    if not interval:
        return Estimate(means[0], None, None)
    low, high = np.percentile(means[1:], INTERVAL, axis=0)
    return Estimate(means[0], low, high)
