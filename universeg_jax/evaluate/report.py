"""Write the report of an evaluation.

OUT/records.jsonl       every measurement (see records.py)
OUT/results.json        means and intervals of all metrics, settings, versions
OUT/tables.md .tex      the same as tables
OUT/datasets.png        Dice of every dataset
OUT/support_size.png    Dice against the support size, if there are several sizes
OUT/ensembling.png      gain of ensembling, if it was measured
OUT/differences.png     Dice compared with a baseline, if there is one
OUT/pictures/TASK.png   best, middle and worst predictions
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.readers.detect import safe_name
from universeg_jax.errors import listing
from universeg_jax.evaluate import plots
from universeg_jax.evaluate.data import Data
from universeg_jax.evaluate.methods import Ensemble, Method
from universeg_jax.evaluate.metrics import METRICS
from universeg_jax.evaluate.protocol import EvaluationProtocol
from universeg_jax.evaluate.records import Key
from universeg_jax.evaluate.runner import RECORDS, Evaluation, differences_from, largest_support
from universeg_jax.evaluate.summary import FEWEST_SUBJECTS, Condition, spread_over_draws
from universeg_jax.evaluate.tables import (
    Table,
    condition_name,
    dice_table,
    difference_table,
    overview_table,
    summary_to_json,
    task_table,
)
from universeg_jax.io.overview import write_overview

OUTPUTS = (
    RECORDS,
    "results.json",
    "tables.md",
    "tables.tex",
    "datasets.png",
    "support_size.png",
    "ensembling.png",
    "differences.png",
)


def tables_of(evaluation: Evaluation, baseline: Condition | None = None) -> list[Table]:
    """Return all tables: overview, differences, Dice by task, and all metrics of the largest support."""
    summaries = evaluation.summaries
    largest = largest_support(summaries)
    tables = [task_table(largest, summaries[largest])]
    if len(summaries) == 1:
        return tables
    overview = [overview_table(summaries)]
    if baseline:
        overview.append(difference_table(baseline, differences_from(evaluation, baseline)))
    return overview if len(evaluation.plan.folds) == 1 else [*overview, dice_table(summaries), *tables]


def notes(data: Data, evaluation: Evaluation, protocol: EvaluationProtocol) -> list[str]:
    """Return notes on the protocol, to print below the tables."""
    plan = evaluation.plan
    datasets = sorted({task.dataset for task in plan.folds})
    unknown = [name for name in datasets if not data.subjects_known(name)]
    volumes = any(case.volume for folds in plan.folds.values() for fold in folds for case in fold.cases)
    lines = [
        "Brackets: 95 % bootstrap intervals over subjects. Scores are means over the random draws of the support: "
        f"{_draws(evaluation)}."
    ]
    cases = "volumes" if volumes else "images"
    few = [task for task, n in next(iter(evaluation.summaries.values())).subjects.items() if n < FEWEST_SUBJECTS]
    if few:
        lines.append(
            f"{len(few)} of {len(plan.folds)} tasks have fewer than {FEWEST_SUBJECTS} subjects. They have "
            f"no interval, and neither have means that include them: {listing(few)}."
        )
    if unknown:
        lines.append(
            f"Subjects are unknown in {', '.join(unknown)}, so intervals are over {cases}. They are too narrow if "
            f"{cases} "
            "of one subject are in support and target."
        )
    where = (
        f"cross-validation in at most {protocol.folds} folds"
        if protocol.folds
        else "support from train, targets from test"
    )
    limit = "all cases" if protocol.targets is None else f"at most {protocol.targets} cases of a task"
    unit = "millimetres, with volumes scored in 3-D" if volumes else "pixels at the resolution of the data"
    lines.append(
        f"Protocol: {where}; {limit}; tolerance of surface Dice {protocol.tolerance:g}; distances in {unit}; "
        f"seed {protocol.seed}."
    )
    if fewer := _fewer_than_asked(evaluation):
        counted = ", ".join(f"{number} of {name}" for name, number in fewer.items())
        where = ", in their smallest fold" if protocol.folds else ""
        lines.append(
            "Support sizes and pools are upper limits. These tasks have fewer examples and used all of them"
            f"{where}: {counted}."
        )
    if plan.too_small:
        counted = ", ".join(f"{number} of {name}" for name, number in plan.too_small.items())
        lines.append(
            f"Cases left out because their label covers less than {protocol.minimum_area} of the image: {counted}."
        )
    lines += [f"Left out: {name} ({why})." for name, why in plan.left_out.items()]
    return lines


def _fewer_than_asked(evaluation: Evaluation) -> dict[str, int]:
    """Return the number of examples of each task with fewer than the largest support or pool."""
    asked = max((n for c in evaluation.summaries for n in (c.support, c.pool) if n is not None), default=0)
    there = {task.name: min(len(f.support) for f in folds) for task, folds in evaluation.plan.folds.items()}
    return {name: number for name, number in there.items() if number < asked}


def _draws(evaluation: Evaluation) -> str:
    """Return the number of draws as text. Merged evaluations may have several numbers."""
    drawn = Counter(condition for condition, _ in {(Condition.of(key), key.draw) for key in evaluation.records})
    conditions: dict[int, list[str]] = {}
    for condition in evaluation.summaries:
        conditions.setdefault(drawn[condition], []).append(condition_name(condition))
    most, *fewer = sorted(conditions, reverse=True)
    return ", ".join([f"{most} draws", *(f"but {number} of {'; '.join(conditions[number])}" for number in fewer)])


def write_report(
    out: Path,
    evaluation: Evaluation,
    data: Data,
    methods: Sequence[Method],
    protocol: EvaluationProtocol,
    *,
    about: Mapping,
    baseline: Condition | None = None,
    with_pictures: bool = True,
) -> None:
    """Write tables, plots and pictures, and remove outdated plots of an earlier report.

    Args:
        out: folder of the report.
        evaluation: to report.
        data, methods, protocol: of the evaluation.
        about: further contents of results.json: command, versions, machine.
        baseline: condition that all others are compared with, case by case.
        with_pictures: segment the best, middle and worst cases again, and draw them.
    """
    tables, said = tables_of(evaluation, baseline), notes(data, evaluation, protocol)
    head = f"# Evaluation\n\n`{about['command']}`\n\n" if "command" in about else "# Evaluation\n\n"
    text = head + "\n".join(table.markdown() for table in tables) + "\n" + "\n".join(f"- {line}" for line in said)
    (out / "tables.md").write_text(text + "\n", encoding="utf-8")
    (out / "tables.tex").write_text("\n".join(table.latex() for table in tables), encoding="utf-8")
    (out / "results.json").write_text(
        json.dumps(_results(evaluation, protocol, data, about, said, baseline), indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    for file in OUTPUTS:
        if file.endswith(".png"):
            (out / file).unlink(missing_ok=True)
    _write_plots(out, evaluation, methods, baseline)
    if with_pictures:
        _write_pictures(out, evaluation, data, methods, protocol)


def _results(
    evaluation: Evaluation,
    protocol: EvaluationProtocol,
    data: Data,
    about: Mapping,
    said: list[str],
    baseline: Condition | None,
) -> dict:
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
    compared = differences_from(evaluation, baseline) if baseline else {}
    return {
        **about,
        "protocol": asdict(protocol),
        "metrics": list(METRICS),
        "methods": identities,
        "datasets": datasets,
        "left_out": evaluation.plan.left_out,
        "notes": said,
        "conditions": conditions,
        **({"baseline": baseline._asdict()} if baseline else {}),
        "differences": [{**c._asdict(), **summary_to_json(s)} for c, s in compared.items()],
    }


def _write_plots(out: Path, evaluation: Evaluation, methods: Sequence[Method], baseline: Condition | None) -> None:
    summaries, names = evaluation.summaries, {method.name for method in methods}
    bars = {condition_name(condition): summaries[condition] for condition in _for_bars(evaluation, methods)}
    plots.write(plots.dataset_bars(bars), out / "datasets.png")
    if baseline:
        compared = differences_from(evaluation, baseline)
        methods_alone = len({condition.method for condition in compared}) == len(compared)
        named = {c.method if methods_alone else condition_name(c): summary for c, summary in compared.items()}
        plots.write(plots.differences(named, condition_name(baseline)), out / "differences.png")
    if len({condition.support for condition in summaries} - {None}) > 1:
        plots.write(plots.support_size_curve(summaries), out / "support_size.png")
    for method in methods:
        sizes = {condition.support for condition in summaries if condition.method == method.name} - {None}
        if isinstance(method, Ensemble) and method.base.name in names and sizes:
            figure = plots.ensembling_gain(evaluation.cells, method.base.name, method.name)
            plots.write(figure, out / "ensembling.png")


def _for_bars(evaluation: Evaluation, methods: Sequence[Method]) -> list[Condition]:
    """Return the condition with the largest support of every method."""
    ensembles = {method.name for method in methods if isinstance(method, Ensemble)}
    # An ensemble of the whole pool repeats its base.
    worth = [c for c in evaluation.summaries if not (c.method in ensembles and c.whole)] or list(evaluation.summaries)
    largest = {condition.method: condition for condition in sorted(worth, key=lambda condition: condition.size)}
    shown = [largest[name] for name in dict.fromkeys(condition.method for condition in worth)]
    return shown if len(shown) <= len(plots.COLOURS) else shown[:1]  # more bars than colours cannot be distinguished


def picture_files(tasks: Iterable[CorpusTask]) -> dict[CorpusTask, str]:
    """Return the picture file of each task, relative to the report. Equal names get numbers."""
    taken: Counter[str] = Counter()
    files = {}
    for task in tasks:
        name = safe_name(task.name)
        taken[name] += 1
        files[task] = f"pictures/{name}.png" if taken[name] == 1 else f"pictures/{name}-{taken[name]}.png"
    return files


def _write_pictures(
    out: Path, evaluation: Evaluation, data: Data, methods: Sequence[Method], protocol: EvaluationProtocol
) -> None:
    (out / "pictures").mkdir(exist_ok=True)
    condition = largest_support(evaluation.summaries)
    method = next(method for method in methods if method.name == condition.method)
    files = picture_files(data.tasks)
    for task, folds in evaluation.plan.folds.items():
        key = Key(task.name, condition.method, condition.support, condition.pool, 0)
        sections = plots.picture_sections(data, task, folds, method, evaluation.records[key], protocol)
        write_overview(out / files[task], sections)
