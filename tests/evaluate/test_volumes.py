"""Evaluation on whole volumes."""

import json

import numpy as np
import pytest

from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import write_volumes
from universeg_jax.errors import InputError
from universeg_jax.evaluate.volume_report import volume_summary, write_volume_report
from universeg_jax.evaluate.volumes import VolumeProtocol, evaluate_volumes, make_volume_plan
from universeg_jax.io.volume_folder import open_volume_folder
from universeg_jax.segment.segmenter import Segmenter

PROTOCOL = VolumeProtocol(support=2, draws=2, folds=2, tolerance=3.0)


@pytest.fixture
def folder(tmp_path):
    return open_volume_folder(write_volumes(tmp_path, support=4, targets=0) / "support")


def evaluate(folder, out, protocol=PROTOCOL, identity="model"):
    return evaluate_volumes(folder, Segmenter(Intensities()), protocol, out, identity=identity)


def test_every_scan_is_scored_once_in_each_draw_from_other_scans(folder, tmp_path):
    scores = evaluate(folder, tmp_path / "out")
    assert sorted(score.key for score in scores) == [(draw, f"s{i}") for draw in range(2) for i in range(4)]
    for score in scores:
        assert score.key.scan not in score.support
        assert len(score.support) == 2
        for dice, surface, distance in score.structures.values():
            assert dice > 0.75
            assert surface > 0.9
            assert 0 <= distance <= 3.2  # one slice
    tables = write_volume_report(tmp_path, scores, PROTOCOL, about={"command": "c"})
    mean = np.mean([own[0] for score in scores for own in score.structures.values()])
    assert tables[0].rows[-1][2].startswith(f"{mean:.3f}")
    assert volume_summary(scores).over_tasks.mean[0] == pytest.approx(mean)
    assert len(json.loads((tmp_path / "volumes.json").read_text())["scores"]) == 8
    assert "| draw 1 |" in (tmp_path / "volumes.md").read_text()


def test_a_run_resumes(folder, tmp_path, monkeypatch):
    import universeg_jax.evaluate.volumes as module

    first = evaluate(folder, tmp_path / "out")
    lines = (tmp_path / "out" / "volumes.jsonl").read_text().splitlines()
    (tmp_path / "out" / "volumes.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    fitted = []
    monkeypatch.setattr(
        module, "fit_volumes", lambda *given, **more: fitted.append(given) or fit_volumes(*given, **more)
    )
    from universeg_jax.segment.volume import fit_volumes

    assert evaluate(folder, tmp_path / "out") == first
    assert len(fitted) == 1
    with pytest.raises(InputError, match="belongs to a run with other identity; pass another --out"):
        evaluate(folder, tmp_path / "out", identity="other")
    with pytest.raises(InputError, match="with other support"):
        evaluate(folder, tmp_path / "out", VolumeProtocol(support=1, folds=2))


def test_a_subject_is_not_shown_for_itself():
    subjects = ["a", "a", "b", "b", "c", "c"]
    for _, support, targets in make_volume_plan(subjects, VolumeProtocol(support=2, draws=4)):
        assert not {subjects[i] for i in support} & {subjects[i] for i in targets}


def test_too_few_volumes_are_refused():
    with pytest.raises(InputError, match="1 subjects: at least 2"):
        make_volume_plan(["a", "a"], VolumeProtocol())
    with pytest.raises(InputError, match="support=3: only 1 volumes lie outside a fold"):
        make_volume_plan(["a", "b"], VolumeProtocol())
    with pytest.raises(InputError, match="draws"):
        VolumeProtocol(draws=0)
