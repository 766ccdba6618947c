"""One call that measures methods on tasks, and what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Data
from universeg_jax.evaluate.methods import Method
from universeg_jax.evaluate.records import Key, Record, Records
from universeg_jax.evaluate.runner import EvaluationProtocol, Plan, make_plan, run
from universeg_jax.evaluate.summary import Cells, Condition, Summary, by_condition, difference, summarise

RECORDS = "records.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        plan: cases and support of every task, and what was left out.
        records: the measurements of these tasks, conditions and draws.
        cells, summaries: of the conditions asked for, in the order of methods, pools and support sizes.
    """

    plan: Plan
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
    """Measure methods on tasks. What OUT/records.jsonl holds already is not measured again.

    Args:
        tasks: all of the data by default.
        overwrite: forget the records in `out` and begin anew.

    Raises:
        InputError: records of another run in `out`, or nothing that can be evaluated.
    """
    tasks = list(data.tasks if tasks is None else tasks)
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise InputError(f"methods: two are called alike in {', '.join(names)}; give them names of their own")
    plan = make_plan(data, tasks, protocol)
    if overwrite:
        (out / RECORDS).unlink(missing_ok=True)
    # A number depends on its own task's data alone, so tasks can be added to a run.
    fingerprints = {task.dataset: data.fingerprint(task.dataset) for task in plan.folds}
    identities = {method.name: method.identity for method in methods}
    records = Records(out / RECORDS, about=protocol.depended_on(), identities=identities, fingerprints=fingerprints)
    run(data, plan, methods, protocol, records, progress=progress)
    names_of_tasks = {task.name for task in plan.folds}
    conditions = [Condition(method.name, size, pool) for method in methods for pool, size in protocol.pools_and_sizes()]
    # The file may hold more, of runs before this one.
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
    """Conditions of several runs on the same tasks in one, in the order they are given."""
    records, cells, summaries = {}, {}, {}
    for evaluation in evaluations:
        records |= evaluation.records
        cells |= evaluation.cells
        summaries |= evaluation.summaries
    return Evaluation(evaluations[0].plan, records, cells, summaries)


def differences_from(evaluation: Evaluation, baseline: Condition) -> dict[Condition, Summary]:
    """Of all other conditions, the paired difference from the baseline."""
    return {
        condition: summarise(difference(cells, evaluation.cells[baseline]))
        for condition, cells in evaluation.cells.items()
        if condition != baseline
    }


def largest_support(summaries: Mapping[Condition, Summary]) -> Condition:
    """The first method's condition with the largest support."""
    first = next(iter(summaries))
    of_first = [condition for condition in summaries if condition.method == first.method]
    return max(of_first, key=lambda condition: condition.size)
