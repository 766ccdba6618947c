import dataclasses
import json

import numpy as np
import pytest

from tests.helpers.stacks import Intensity, stack
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.report import fold_means, tables, write_report
from universeg_jax.evaluate.few_shot.runner import MEASUREMENTS, FewShotProtocol, read_scores, run_few_shot
from universeg_jax.evaluate.metrics import dice

STACKS = [stack(f"scan{i}", seed=i) for i in range(6)]
PROTOCOL = FewShotProtocol(folds=3)


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    return run_few_shot(STACKS, [Intensity()], PROTOCOL, tmp_path_factory.mktemp("run"))[0]


def test_every_organ_of_every_scan_is_measured_once(scores):
    assert len(scores) == 12
    assert {(s.key.scan, s.key.organ) for s in scores} == {(s.name, organ) for s in STACKS for organ in ("ball", "rod")}
    supports = {s.key.fold: s.support for s in scores}
    assert supports == {0: "scan2", 1: "scan4", 2: "scan0"}


def test_scores_are_those_of_the_masks_on_organ_slices(scores):
    score = next(s for s in scores if s.key.scan == "scan1" and s.key.organ == "ball")
    support, query = STACKS[2].organ("ball"), STACKS[1].organ("ball")
    masks = Intensity().segment(support, query) > 0.5
    assert score.slices == tuple(np.flatnonzero((STACKS[1].labels == 1).any((1, 2))))
    assert score.dice_3d == pytest.approx(dice(masks, query.masks), abs=1e-6)
    assert score.dice_2d == pytest.approx([dice(m, t) for m, t in zip(masks, query.masks, strict=True)], abs=1e-6)
    assert score.dice_3d > 0.9


def test_means_are_over_scans_in_3d_and_over_all_slices_in_2d(scores):
    own = [s for s in scores if s.key.fold == 1 and s.key.organ == "rod"]
    mean = fold_means(scores)["intensity"]["rod"][0, 1]
    assert mean.dice_3d == pytest.approx(np.mean([s.dice_3d for s in own]))
    assert mean.dice_2d == pytest.approx(np.mean([value for s in own for value in s.dice_2d]))


def test_a_killed_run_resumes_and_gives_the_same(scores, tmp_path):
    run_few_shot(STACKS, [Intensity()], PROTOCOL, tmp_path / "whole")
    content = (tmp_path / "whole" / MEASUREMENTS).read_bytes()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / MEASUREMENTS).write_bytes(content[: len(content) // 2])
    method = Intensity()
    assert run_few_shot(STACKS, [method], PROTOCOL, tmp_path / "killed")[0] == scores
    assert 0 < method.calls < 12
    assert (tmp_path / "killed" / MEASUREMENTS).read_bytes() == content


def test_measurements_so_far_can_be_read(scores, tmp_path):
    run_few_shot(STACKS, [Intensity()], PROTOCOL, tmp_path)
    lines = (tmp_path / MEASUREMENTS).read_bytes().splitlines(keepends=True)
    (tmp_path / MEASUREMENTS).write_bytes(b"".join(lines[:5]) + lines[5][:10])
    assert read_scores(tmp_path) == scores[:4]
    (tmp_path / MEASUREMENTS).write_bytes(lines[0])
    with pytest.raises(InputError, match="holds no measurements"):
        read_scores(tmp_path)


def test_another_run_is_refused(tmp_path):
    run_few_shot(STACKS[:3], [Intensity()], PROTOCOL, tmp_path)
    with pytest.raises(InputError, match="belongs to a run with other scans"):
        run_few_shot(STACKS[:4], [Intensity()], PROTOCOL, tmp_path)
    changed = Intensity()
    changed.identity = "intensity 2"
    with pytest.raises(InputError, match="the method intensity was intensity 1, now it is intensity 2"):
        run_few_shot(STACKS[:3], [changed], PROTOCOL, tmp_path)
    run_few_shot(STACKS[:3], [changed], PROTOCOL, tmp_path, overwrite=True)


def without(one, organ):
    return dataclasses.replace(one, labels=np.where(one.labels == organ, 0, one.labels))


def test_an_organ_absent_from_the_support_scan_is_skipped_with_the_reason(tmp_path):
    stacks = [STACKS[0], without(STACKS[1], 2), STACKS[2]]
    scores, skipped = run_few_shot(stacks, [Intensity()], PROTOCOL, tmp_path)
    assert {(s.key.scan, s.key.organ) for s in scores if s.key.organ == "rod"} == {("scan2", "rod")}
    assert [s.reason for s in skipped] == [
        "support scan scan1 shows rod in 0 slices, fewer than 3",
        "query scan scan1 shows rod in 0 slices, fewer than 3",
    ]


def test_fewer_than_three_organ_slices_are_skipped(tmp_path):
    thin = dataclasses.replace(STACKS[1], labels=STACKS[1].labels * (np.arange(9) < 4)[:, None, None])
    _, skipped = run_few_shot([STACKS[0], thin, STACKS[2]], [Intensity()], PROTOCOL, tmp_path)
    assert skipped[0].reason == "support scan scan1 shows rod in 2 slices, fewer than 3"


def test_nothing_to_measure_is_an_error(tmp_path):
    stacks = [without(one, 2) for one in STACKS[:2]] + [STACKS[2]]
    with pytest.raises(InputError, match="nothing can be measured; rod: support scan scan1 shows rod in 0 slices"):
        run_few_shot(stacks, [Intensity()], FewShotProtocol(folds=3, organs=("rod",)), tmp_path)
    with pytest.raises(InputError, match="organs heart: shown by no scan; there are ball, rod"):
        run_few_shot(stacks, [Intensity()], FewShotProtocol(folds=3, organs=("heart",)), tmp_path)


def test_two_methods_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="two have the same name"):
        run_few_shot(STACKS, [Intensity(), Intensity()], PROTOCOL, tmp_path)


def test_the_report_has_every_organ_and_fold(scores, tmp_path):
    made = write_report(tmp_path, scores, [], PROTOCOL, about={"command": "the command"})
    assert len(made) == len(tables(scores)) == 4
    text = (tmp_path / "few_shot.md").read_text()
    for part in (
        "3-D Dice",
        "2-D Dice",
        "ball",
        "rod",
        "fold 2",
        "mean over folds",
        "support scan scan2",
        "the command",
    ):
        assert part in text
    assert r"\toprule" in (tmp_path / "few_shot.tex").read_text()
    means = json.loads((tmp_path / "few_shot.json").read_text())["means"]["intensity"]["ball"]
    assert means["dice_3d"] == pytest.approx(np.mean([fold["dice_3d"] for fold in means["folds"]]), abs=1e-4)


def test_several_seeds_have_folds_of_their_own(tmp_path):
    protocol = FewShotProtocol(folds=3, seeds=2)
    scores, _ = run_few_shot(STACKS, [Intensity()], protocol, tmp_path)
    assert len(scores) == 24
    assert "seed 1, fold 0" in tables(scores)[-1].markdown()


def test_only_some_folds_are_measured_and_others_can_follow(scores, tmp_path):
    some, _ = run_few_shot(STACKS, [Intensity()], dataclasses.replace(PROTOCOL, only=(1,)), tmp_path)
    assert some == [score for score in scores if score.key.fold == 1]
    assert run_few_shot(STACKS, [Intensity()], PROTOCOL, tmp_path)[0] == scores


@pytest.mark.parametrize(
    "options", [{"folds": 1}, {"only": ()}, {"only": (5,)}, {"seeds": 0}, {"threshold": 1.0}, {"smallest": 0}]
)
def test_options_out_of_range(options):
    with pytest.raises(InputError, match=f"^{next(iter(options))}="):
        FewShotProtocol(**options)
