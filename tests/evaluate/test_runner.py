import json
from dataclasses import replace

import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.evaluate.methods import Ensemble
from universeg_jax.evaluate.metrics import METRICS, score
from universeg_jax.evaluate.plots import picture_sections
from universeg_jax.evaluate.protocol import EvaluationProtocol, make_plan
from universeg_jax.evaluate.report import notes, write_report
from universeg_jax.evaluate.runner import evaluate, merged

PROTOCOL = EvaluationProtocol(support_sizes=(1, 4), draws=2, targets=3)


def lines(out):
    """Read the records, without their times."""
    found = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in found]


def test_scores_are_those_of_the_method_and_the_metrics(discs, threshold, tmp_path):
    data = discs()
    evaluation = evaluate(data, [threshold], PROTOCOL, tmp_path)
    assert len(evaluation.records) == 3 * 2 * 2
    assert threshold.calls == [(12, 1, 3), (12, 4, 3)] * 6
    record = next(r for r in evaluation.records.values() if r.key.support == 4 and r.key.draw == 1)
    (fold,) = evaluation.plan.folds[data.tasks[0]]
    assert record.cases == tuple(c.name for c in fold.cases)
    assert record.scores.shape == (3, len(METRICS))
    assert record.scores[:, 0].min() > 0.3
    means = [evaluation.summaries[c].over_tasks.mean[0] for c in evaluation.summaries]
    assert means[1] > 0.5


def test_smaller_support_is_part_of_larger_and_the_same_for_all_methods(discs, tmp_path):
    class Seen:
        def __init__(self, name):
            self.name = self.identity = name
            self.supports = []

        def predict(self, rng, pool, support_size, targets):
            self.supports.append([e.image for e in pool.examples[:support_size]])
            return np.zeros_like(targets)

    one, other = Seen("one"), Seen("other")
    protocol = EvaluationProtocol(support_sizes=(2, 6), pools=(3, None), draws=2, targets=1)
    evaluate(discs(), [one, other], protocol, tmp_path, tasks=discs().tasks[:1])
    assert one.supports == other.supports
    assert [len(s) for s in one.supports] == [2, 2, 6] * 2
    for small, same, large in (one.supports[:3], one.supports[3:]):
        assert small == same == large[:2]
    assert one.supports[2] != one.supports[5]


def test_a_killed_run_resumes_and_gives_the_same(discs, threshold, tmp_path):
    evaluate(discs(), [threshold], PROTOCOL, tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    content = (tmp_path / "whole" / "records.jsonl").read_bytes()
    cut = content.index(b"\n", len(content) // 2) + 30  # in the middle of a line
    (tmp_path / "killed" / "records.jsonl").write_bytes(content[:cut])
    threshold.calls.clear()
    evaluate(discs(), [threshold], PROTOCOL, tmp_path / "killed")
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert 0 < len(threshold.calls) < 12
    threshold.calls.clear()
    evaluate(discs(), [threshold], EvaluationProtocol(support_sizes=(1, 4, 8), draws=2, targets=3), tmp_path / "killed")
    assert [size for _, size, _ in threshold.calls] == [8] * 6


@pytest.mark.parametrize("written", [0, 10])
def test_a_run_killed_before_its_first_line_resumes(discs, threshold, tmp_path, written):
    evaluate(discs(), [threshold], PROTOCOL, tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    content = (tmp_path / "whole" / "records.jsonl").read_bytes()
    (tmp_path / "killed" / "records.jsonl").write_bytes(content[:written])
    evaluate(discs(), [threshold], PROTOCOL, tmp_path / "killed")
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")


def test_records_of_another_run_are_refused(discs, threshold, tmp_path):
    evaluate(discs(), [threshold], PROTOCOL, tmp_path)
    before = lines(tmp_path)
    with pytest.raises(InputError, match="was made with seed 0, now it is 1"):
        evaluate(discs(), [threshold], EvaluationProtocol(targets=3, seed=1), tmp_path)
    threshold.identity = "threshold 2"
    with pytest.raises(InputError, match="the method threshold was threshold 1, now it is threshold 2"):
        evaluate(discs(), [threshold], PROTOCOL, tmp_path)
    threshold.identity = "threshold 1"
    changed = discs()
    changed.fingerprint = lambda dataset: "others"
    with pytest.raises(InputError, match="the dataset cells was discs-cells, now it is others"):
        evaluate(changed, [threshold], PROTOCOL, tmp_path)
    assert lines(tmp_path) == before
    evaluate(discs(), [threshold], EvaluationProtocol(targets=3, seed=1), tmp_path, overwrite=True)
    assert lines(tmp_path)[0]["seed"] == 1
    (tmp_path / "records.jsonl").write_text("not records\n")
    with pytest.raises(InputError, match="holds no records"):
        evaluate(discs(), [threshold], PROTOCOL, tmp_path)


def test_volumes_are_scored_in_three_dimensions(discs, threshold, tmp_path):
    data = discs(volumes=True, split=False)
    protocol = EvaluationProtocol(support_sizes=(4,), draws=1, folds=3)
    evaluation = evaluate(data, [threshold], protocol, tmp_path, tasks=data.tasks[:1])
    (record,) = evaluation.records.values()
    assert sorted(record.cases) == sorted(f"v{i}" for i in range(0, 20, 2))
    assert [targets for _, _, targets in threshold.calls] == [8, 6, 6]

    class Truth:
        name = identity = "truth"

        def predict(self, rng, pool, support_size, targets):
            return np.stack([half_of(data, image) for image in targets])

    def half_of(data, image):
        (label,) = (y for x, y in (data.read(data.tasks[0], i) for i in range(20)) if np.array_equal(x, image))
        return label * (np.arange(16)[:, None, None] < 8)

    evaluation = evaluate(data, [Truth()], protocol, tmp_path, tasks=data.tasks[:1])
    record = next(r for r in evaluation.records.values() if r.key.method == "truth")
    truth = np.stack([data.read(data.tasks[0], i)[1][..., 0] for i in (0, 1)])
    expected = score(truth * (np.arange(16)[:, None] < 8), truth, spacing=(2.0, 1.0, 1.0))
    assert record.scores[record.cases.index("v0")] == pytest.approx([getattr(expected, m) for m in METRICS], abs=1e-6)


def test_everything_is_written(discs, threshold, tmp_path):
    methods, data = [threshold, Ensemble(threshold, 3)], discs(per_subject=1)
    evaluation = evaluate(data, methods, PROTOCOL, tmp_path)
    write_report(tmp_path, evaluation, data, methods, PROTOCOL, about={"command": "the command"})
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    pictures = [f"pictures/{n}_image_2d_{label}.png" for n, label in (("cells", "a"), ("cells", "b"), ("skin", "c"))]
    assert written == [
        "datasets.png",
        "ensembling.png",
        *pictures,
        "records.jsonl",
        "results.json",
        "support_size.png",
        "tables.md",
        "tables.tex",
    ]
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(c["method"], c["support"]) for c in results["conditions"]] == [
        (m.name, size) for m in methods for size in (1, 4)
    ]
    largest = results["conditions"][1]
    assert largest["tasks"]["cells/image/2d/a"]["cases"] == 3
    assert largest["mean_over_tasks"]["dice"]["low"] < largest["mean_over_tasks"]["dice"]["mean"]
    assert "Subjects are unknown in skin, so intervals are over images" in (tmp_path / "tables.md").read_text()


def test_all_examples_as_support_and_comparison_with_a_baseline(discs, threshold, tmp_path):
    data, protocol = discs(), EvaluationProtocol(support_sizes=(1, None), draws=2)
    evaluation = evaluate(data, [threshold], protocol, tmp_path)
    assert threshold.calls == [(12, 1, 4), (12, 12, 4)] * 6
    one, every = evaluation.summaries
    assert (one.support, every.support) == (1, None)
    both = merged(evaluation, evaluation)
    assert list(both.summaries) == [one, every]
    write_report(tmp_path, both, data, [threshold], protocol, about={}, baseline=one, with_pictures=False)
    (compared,) = json.loads((tmp_path / "results.json").read_text())["differences"]
    gained = evaluation.summaries[every].over_tasks.mean[0] - evaluation.summaries[one].over_tasks.mean[0]
    assert compared["mean_over_tasks"]["dice"]["mean"] == pytest.approx(gained, abs=1e-4)
    tables = (tmp_path / "tables.md").read_text()
    assert "Difference from threshold, support 1" in tables
    assert "random draws of the support: 2 draws.\n" in tables
    assert (tmp_path / "differences.png").exists()


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (EvaluationProtocol(support_sizes=(4, 12, None), draws=1, targets=1), None),
        (
            EvaluationProtocol(support_sizes=(4, 13), draws=1, targets=1),
            "used all of them: 12 of cells/image/2d/a, 12 of skin/",
        ),
        (
            EvaluationProtocol(support_sizes=(4,), pools=(13,), draws=1, targets=1),
            "used all of them: 12 of cells/image/2d/a, 12 of",
        ),
        (EvaluationProtocol(support_sizes=(16,), draws=1, folds=3), "in their smallest fold: 12 of cells/image/2d/a"),
    ],
)
def test_tasks_with_fewer_examples_than_asked_for_are_named(discs, threshold, tmp_path, protocol, said):
    data = discs(names=("cells/image/2d/a", "skin/image/2d/c"))
    evaluation = evaluate(data, [threshold], protocol, tmp_path)
    text = "\n".join(notes(data, evaluation, protocol))
    assert ("are upper limits" in text) == (said is not None)
    assert said is None or said in text
    assert all(record.shown <= 12 for record in evaluation.records.values() if record.key.support != 4)


def test_each_condition_has_its_own_number_of_draws(discs, threshold, tmp_path):
    data, methods, every = discs(), [threshold, Ensemble(threshold, 3)], replace(PROTOCOL, support_sizes=(None,))
    evaluate(data, methods, replace(every, draws=3), tmp_path)  # more than is asked for below
    both = merged(
        evaluate(data, methods, PROTOCOL, tmp_path), evaluate(data, methods, replace(every, draws=1), tmp_path)
    )
    said = notes(data, both, PROTOCOL)[0]
    assert said.endswith("2 draws, but 1 of threshold, support all; threshold, ensemble of 3, support all.")
    write_report(tmp_path, both, data, methods, PROTOCOL, about={}, with_pictures=False)
    conditions = json.loads((tmp_path / "results.json").read_text())["conditions"]
    deviations = {(c["method"], c["support"]): c["tasks"]["cells/image/2d/a"]["dice"] for c in conditions}
    assert deviations["threshold", 1]["deviation_over_draws"] > 0
    assert deviations["threshold", None]["deviation_over_draws"] is None


def test_tasks_without_support_or_targets_are_named(discs):
    class WithoutTargets(discs):
        def cases(self, task):
            return super().cases(task)[: 16 if task.label == "a" else None]  # without those to test

    plan = make_plan(WithoutTargets(), discs().tasks, EvaluationProtocol())
    assert [task.label for task in plan.folds] == ["b", "c"]
    assert plan.left_out == {"cells/image/2d/a": "nothing in train or nothing in test shows the label"}
    with pytest.raises(InputError, match=r"none of 3 tasks can be evaluated; cells/image/2d/a: .* covers 0\.5 of"):
        make_plan(discs(), discs().tasks, EvaluationProtocol(minimum_area=0.5))


def test_cases_that_are_left_out_are_counted(discs, threshold, tmp_path):
    data = discs()
    areas = [case.area for case in data.cases(data.tasks[0])[16:]]
    largest = max(areas)
    protocol = EvaluationProtocol(minimum_area=float(largest))
    evaluation = evaluate(data, [threshold], protocol, tmp_path, tasks=data.tasks[:1])
    small = sum(area < largest for area in areas)
    assert evaluation.plan.too_small == {"cells/image/2d/a": small}
    assert f"{small} of cells/image/2d/a" in "".join(notes(data, evaluation, protocol))
    assert make_plan(data, data.tasks, EvaluationProtocol()).too_small == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"support_sizes": (0, 4)}, r"support_sizes=\(0, 4\): pass numbers from 1"),
        ({"draws": 0}, "draws=0"),
        ({"folds": 1}, "folds=1: pass 2 or more"),
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"minimum_area": 1.0}, "minimum_area=1.0"),
        ({"tolerance": -1.0}, "tolerance=-1.0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        EvaluationProtocol(**options)


def test_tasks_with_few_subjects_are_named(discs, threshold, tmp_path):
    data = discs(per_subject=5)  # a single subject to measure on
    evaluation = evaluate(data, [threshold], PROTOCOL, tmp_path)
    said = " ".join(notes(data, evaluation, PROTOCOL))
    assert "3 of 3 tasks have fewer than 3 subjects. They have no interval" in said
    summary = next(iter(evaluation.summaries.values()))
    assert summary.over_tasks.low is summary.datasets["cells"].low is None


def test_sheets_have_a_section_per_fold_with_its_own_examples(discs, threshold, tmp_path):
    data, protocol = discs(), EvaluationProtocol(support_sizes=(4,), draws=1, folds=3)
    evaluation = evaluate(data, [threshold], protocol, tmp_path, tasks=data.tasks[:1])
    [(task, folds)] = evaluation.plan.folds.items()
    [record] = evaluation.records.values()
    sections = picture_sections(data, task, folds, threshold, record, protocol)
    assert [section.title.rpartition(", ")[2] for section in sections] == [f"fold {k} of 3" for k in (1, 2, 3)]
    for fold, section in zip(folds, sections, strict=True):
        targets = {result.name.rpartition(": ")[2] for result in section.results}
        examples = {example.name for example in section.support}
        assert targets <= {case.name for case in fold.cases}
        assert examples <= {data.name(example.image) for example in fold.support}
        assert not targets & examples
