"""One call that measures, and writes all that there is to see.

OUT/records.jsonl       every measurement, as it was made (see records.py)
OUT/results.json        means and intervals of all metrics, settings, versions
OUT/tables.md .tex      the same as tables
OUT/datasets.png        Dice of every dataset
OUT/support_size.png    Dice against the support size, if there are several
OUT/ensembling.png      what ensembling gains, if it was measured
OUT/pictures/TASK.png   best, middle and worst predictions
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.evaluate import pictures, plots
from universeg_jax.evaluate.data import Data
from universeg_jax.evaluate.methods import Ensemble, Method
from universeg_jax.evaluate.metrics import METRICS
from universeg_jax.evaluate.protocol import Plan, Protocol, make_plan, run
from universeg_jax.evaluate.records import Key, Record, Records
from universeg_jax.evaluate.summary import Cells, Condition, Summary, by_condition, spread_over_draws, summarise
from universeg_jax.evaluate.tables import Table, dice_table, overview_table, summary_to_json, task_table
from universeg_jax.segment.picture import write_overview
from universeg_jax.tasks.readers.detect import safe_name
from universeg_jax.tasks.task import Task

RECORDS = "records.jsonl"
OUTPUTS = (RECORDS, "results.json", "tables.md", "tables.tex", "datasets.png", "support_size.png", "ensembling.png")


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        plan: cases and support of every task, and what was left out.
        records: the measurements of these tasks and draws, those of earlier runs with other sizes or methods included.
        cells, summaries: of the conditions asked for, in the order of methods, pools and support sizes.
    """

    plan: Plan
    records: dict[Key, Record]
    cells: dict[Condition, Cells]
    summaries: dict[Condition, Summary]


def evaluate(
    data: Data,
    methods: Sequence[Method],
    protocol: Protocol,
    out: Path,
    *,
    tasks: Sequence[Task] | None = None,
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
    asked = [r for r in records if r.key.task in names_of_tasks and r.key.draw < protocol.draws]
    measured = by_condition(asked)
    conditions = [
        Condition(method.name, size, pool)
        for method in methods
        for pool in protocol.pools
        for size in protocol.support_sizes
        if pool is None or size <= pool
    ]
    cells = {condition: measured[condition] for condition in conditions}
    summaries = {condition: summarise(of) for condition, of in cells.items()}
    return Evaluation(plan, {record.key: record for record in asked}, cells, summaries)


def tables_of(evaluation: Evaluation) -> list[Table]:
    """Of several conditions an overview and Dice by task; all metrics by task of the first method."""
    summaries = evaluation.summaries
    largest = largest_support(summaries)
    tables = [task_table(largest, summaries[largest])]
    if len(summaries) == 1:
        return tables
    if len(evaluation.plan.folds) == 1:
        return [overview_table(summaries)]
    return [overview_table(summaries), dice_table(summaries), *tables]


def largest_support(summaries: Mapping[Condition, Summary]) -> Condition:
    """The first method's condition with the largest support."""
    first = next(iter(summaries))
    of_first = [condition for condition in summaries if condition.method == first.method]
    return max(of_first, key=lambda condition: condition.support)


def notes(data: Data, plan: Plan, protocol: Protocol) -> list[str]:
    """What a reader of the tables must know."""
    datasets = sorted({task.dataset for task in plan.folds})
    unknown = [name for name in datasets if not data.subjects_known(name)]
    volumes = any(case.volume for folds in plan.folds.values() for fold in folds for case in fold.cases)
    lines = [
        "Brackets: 95 % bootstrap intervals over subjects, of the means over "
        f"{protocol.draws} random draws of the support."
    ]
    if unknown:
        lines.append(
            f"Over images, for subjects are unknown, in {', '.join(unknown)}: images of one subject may be in support "
            "and target, and intervals are then too narrow."
        )
    where = f"cross-validation in {protocol.folds} folds" if protocol.folds else "support from train, targets from test"
    limit = "all cases" if protocol.targets is None else f"at most {protocol.targets} cases of a task"
    unit = "millimetres, volumes being scored in 3-D" if volumes else "pixels at the resolution of the data"
    lines.append(
        f"Protocol: {where}; {limit}; tolerance of surface Dice {protocol.tolerance:g}; distances in {unit}; "
        f"seed {protocol.seed}."
    )
    lines += [f"Left out: {name} ({why})." for name, why in plan.left_out.items()]
    return lines


def write_report(
    out: Path,
    evaluation: Evaluation,
    data: Data,
    methods: Sequence[Method],
    protocol: Protocol,
    *,
    about: Mapping,
    with_pictures: bool = True,
) -> None:
    """Write tables, plots and pictures.

    Args:
        about: what results.json tells besides: command, versions, machine.
        with_pictures: segment the best, middle and worst cases again, and draw them.
    """
    tables, said = tables_of(evaluation), notes(data, evaluation.plan, protocol)
    head = f"# Evaluation\n\n`{about['command']}`\n\n" if "command" in about else "# Evaluation\n\n"
    text = head + "\n".join(table.markdown() for table in tables) + "\n" + "\n".join(f"- {line}" for line in said)
    (out / "tables.md").write_text(text + "\n", encoding="utf-8")
    (out / "tables.tex").write_text("\n".join(table.latex() for table in tables), encoding="utf-8")
    (out / "results.json").write_text(
        json.dumps(_results(evaluation, protocol, data, about, said), indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    _write_plots(out, evaluation, methods)
    if with_pictures:
        _write_pictures(out / "pictures", evaluation, data, methods, protocol)


def _results(evaluation: Evaluation, protocol: Protocol, data: Data, about: Mapping, said: list[str]) -> dict:
    spreads = spread_over_draws(evaluation.records.values())
    conditions = []
    for condition, summary in evaluation.summaries.items():
        spread = {task: spreads[condition, task] for task in summary.tasks}
        conditions.append({**condition._asdict(), **summary_to_json(summary, spread)})
    datasets = {
        task.dataset: {
            "subjects_known": data.subjects_known(task.dataset),
            "fingerprint": data.fingerprint(task.dataset),
        }
        for task in evaluation.plan.folds
    }
    identities = {record.key.method: record.identity for record in evaluation.records.values()}
    return {
        **about,
        "protocol": asdict(protocol),
        "metrics": list(METRICS),
        "methods": identities,
        "datasets": datasets,
        "left_out": evaluation.plan.left_out,
        "notes": said,
        "conditions": conditions,
    }


def _write_plots(out: Path, evaluation: Evaluation, methods: Sequence[Method]) -> None:
    summaries, names = evaluation.summaries, {method.name for method in methods}
    largest = max(condition.support for condition in summaries)
    shown = {condition.method: s for condition, s in summaries.items() if condition.support == largest}
    plots.write(plots.dataset_bars(shown), out / "datasets.png")
    if len({condition.support for condition in summaries}) > 1:
        plots.write(plots.support_size_curve(summaries), out / "support_size.png")
    for method in methods:
        if isinstance(method, Ensemble) and method.base.name in names:
            figure = plots.ensembling_gain(evaluation.cells, method.base.name, method.name)
            plots.write(figure, out / "ensembling.png")


def _write_pictures(
    folder: Path, evaluation: Evaluation, data: Data, methods: Sequence[Method], protocol: Protocol
) -> None:
    folder.mkdir(exist_ok=True)
    condition = largest_support(evaluation.summaries)
    method = next(method for method in methods if method.name == condition.method)
    for task, folds in evaluation.plan.folds.items():
        key = Key(task.name, condition.method, condition.support, condition.pool, 0)
        section = pictures.make_section(data, task, folds, method, evaluation.records[key], protocol)
        write_overview(folder / f"{safe_name(task.name)}.png", [section])
