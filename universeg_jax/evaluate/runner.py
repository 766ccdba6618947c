"""Measure methods on tasks, and summarise the measurements.

Each random draw depends on seed, task and number of the draw only. All methods and support sizes therefore see the same
examples, in every run.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Case, Data, Fold, SupportPool, read_cached
from universeg_jax.evaluate.methods import Method
from universeg_jax.evaluate.metrics import Scores, as_array, score
from universeg_jax.evaluate.protocol import EvaluationPlan, EvaluationProtocol, make_plan
from universeg_jax.evaluate.records import Key, Record, Records
from universeg_jax.evaluate.summary import Cells, Condition, Summary, by_condition, difference, summarise
from universeg_jax.util.random import generator

RECORDS = "records.jsonl"


class TaskRun:
    """One task, measured by several methods. Its images are read once."""

    def __init__(self, data: Data, task: CorpusTask, folds: Sequence[Fold], protocol: EvaluationProtocol):
        self.data, self.task, self.folds, self.protocol = data, task, folds, protocol
        self._cache: dict = {}

    def predict(self, method: Method, key: Key, fold: int) -> tuple[list[np.ndarray], int]:
        """Return the probabilities (images,H,W) of each case of a fold, and the number of examples shown."""
        pool, cases = self.pool(key, fold), self.folds[fold].cases
        targets = np.concatenate([self.read(case)[0] for case in cases])
        shown = len(pool) if key.support is None else min(key.support, len(pool))
        probability = np.asarray(method.predict(self._generator("method", fold, key.draw), pool, shown, targets))
        ends = np.cumsum([len(case.images) for case in cases])
        return np.split(probability[..., 0], ends[:-1]), shown

    def pool(self, key: Key, fold: int) -> SupportPool:
        """Return the examples that the support of a draw is chosen from."""
        support = self.folds[fold].support
        order = self._generator("support", fold, key.draw).permutation(len(support))
        return SupportPool(self.data, self.task, tuple(support[i] for i in order[: key.pool]), self._cache)

    def read(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and the label maps of a case, (images,H,W,1) each."""
        pairs = [read_cached(self.data, self.task, image, self._cache) for image in case.images]
        return tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True))

    def measure(self, method: Method, key: Key) -> Record:
        """Segment and score all cases of the task."""
        seconds = 0.0
        cases: list[Case] = []
        scores: list[Scores] = []
        numbers: list[int] = []
        for fold, (_, of_fold) in enumerate(self.folds):
            began = time.perf_counter()
            probabilities, shown = self.predict(method, key, fold)
            seconds += time.perf_counter() - began
            numbers.append(shown)
            cases += of_fold
            scores += [self._score(*pair) for pair in zip(of_fold, probabilities, strict=True)]
        return Record(
            key,
            method.identity,
            self.data.fingerprint(self.task.dataset),
            min(numbers),
            tuple(case.name for case in cases),
            tuple(case.subject for case in cases),
            as_array(scores).round(6),  # as written, so that a resumed run gives the same digits
            round(seconds, 3),
        )

    def _score(self, case: Case, probability: np.ndarray) -> Scores:
        truth = self.read(case)[1][..., 0]
        if not case.volume:
            probability, truth = probability[0], truth[0]
        options = dict(threshold=self.protocol.threshold, tolerance=self.protocol.tolerance)
        return score(probability, truth, spacing=case.spacing, **options)

    def _generator(self, what: str, fold: int, draw: int) -> np.random.Generator:
        return generator(self.protocol.seed, what, self.task.name, fold, draw)


def run(
    data: Data,
    plan: EvaluationPlan,
    methods: Sequence[Method],
    protocol: EvaluationProtocol,
    records: Records,
    *,
    progress: bool = False,
) -> None:
    """Measure everything that `records` do not hold yet, and add it to them."""
    grid = list(protocol.grid())
    total = len(plan.folds) * len(grid) * len(methods)
    with tqdm(total=total, desc="evaluating", unit="run", disable=not progress) as bar:
        for task, folds in plan.folds.items():
            bar.set_postfix_str(task.name)
            of_task = TaskRun(data, task, folds, protocol)
            for draw, pool, size in grid:
                for method in methods:
                    key = Key(task.name, method.name, size, pool, draw)
                    if key not in records:
                        records.add(of_task.measure(method, key))
                    bar.update()


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        plan: cases and support of every task.
        records: measurements of these tasks, conditions and draws.
        cells, summaries: of each condition, in the order of methods, pools and support sizes.
    """

    plan: EvaluationPlan
    records: dict[Key, Record]
    cells: dict[Condition, Cells]
    summaries: dict[Condition, Summary]


def evaluate(
    data: Data,
    methods: Sequence[Method],
    protocol: EvaluationProtocol,
    out: Path,
    *,
    tasks: Sequence[CorpusTask] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Measure methods on tasks. Resume if OUT/records.jsonl holds measurements of the same run.

    Args:
        data: to measure on.
        methods: to measure; their names must differ.
        protocol: options of the measurement.
        out: folder of the records.
        tasks: all tasks of the data by default.
        overwrite: delete the records in `out` and start again.
        progress: show a progress bar.

    Raises:
        InputError: `out` holds records of another run, or no task can be evaluated.
    """
    tasks = list(data.tasks if tasks is None else tasks)
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise InputError(f"methods={', '.join(names)}: two have the same name; give them different names")
    plan = make_plan(data, tasks, protocol)
    if overwrite:
        (out / RECORDS).unlink(missing_ok=True)
    # A score depends on the data of its own task only, so tasks can be added to a run.
    fingerprints = {task.dataset: data.fingerprint(task.dataset) for task in plan.folds}
    identities = {method.name: method.identity for method in methods}
    records = Records(out / RECORDS, about=protocol.depended_on(), identities=identities, fingerprints=fingerprints)
    run(data, plan, methods, protocol, records, progress=progress)
    names_of_tasks = {task.name for task in plan.folds}
    conditions = [Condition(method.name, size, pool) for method in methods for pool, size in protocol.pools_and_sizes()]
    # The file may hold further measurements of earlier runs.
    asked = [
        record
        for record in records
        if record.key.task in names_of_tasks
        and Condition.of(record.key) in conditions
        and record.key.draw < protocol.draws
    ]
    measured = by_condition(asked)
    cells = {condition: measured[condition] for condition in conditions}
    summaries = {condition: summarise(of) for condition, of in cells.items()}
    return Evaluation(plan, {record.key: record for record in asked}, cells, summaries)


def merged(*evaluations: Evaluation) -> Evaluation:
    """Merge the conditions of several evaluations of the same tasks, in their order."""
    records: dict[Key, Record] = {}
    cells: dict[Condition, Cells] = {}
    summaries: dict[Condition, Summary] = {}
    for evaluation in evaluations:
        records |= evaluation.records
        cells |= evaluation.cells
        summaries |= evaluation.summaries
    return Evaluation(evaluations[0].plan, records, cells, summaries)


def differences_from(evaluation: Evaluation, baseline: Condition) -> dict[Condition, Summary]:
    """Return the paired difference of every other condition from the baseline."""
    return {
        condition: summarise(difference(cells, evaluation.cells[baseline]))
        for condition, cells in evaluation.cells.items()
        if condition != baseline
    }


def largest_support(summaries: Mapping[Condition, Summary]) -> Condition:
    """Return the condition of the first method with the largest support."""
    first = next(iter(summaries))
    of_first = [condition for condition in summaries if condition.method == first.method]
    return max(of_first, key=lambda condition: condition.size)
