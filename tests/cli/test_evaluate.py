import json

import pytest

from tests.helpers import make_sources
from tests.helpers.corpora import prepare_all
from tests.helpers.stand_in import refused
from universeg_jax.cli.main import main
from universeg_jax.weights import shipped


@pytest.fixture
def source(brightness, task):
    """A folder of four labelled images."""
    return task / "support"


def evaluate(source, out, *more):
    return main(["evaluate", str(source), "--out", str(out), "--quiet", *more])


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_cross_validated(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", str(source), "--out", str(out), "--support", "2", "--ensemble", "2"]) == 0
    said = capsys.readouterr().out
    assert "cross-validation in at most 5 folds" in said
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["command"].startswith("universeg-jax evaluate")
    (one, other) = results["conditions"]
    assert (one["method"], other["method"]) == (shipped.DEFAULT, f"{shipped.DEFAULT}, ensemble of 2")
    (task,) = one["tasks"].values()
    assert task["cases"] == 4
    assert task["dice"]["mean"] > 0.9  # bright discs, found by their brightness
    assert f"{shipped.DEFAULT}, support 2" in said
    assert {path.name for path in (out / "pictures").iterdir()} == {"support_image_2d_255.png"}


def test_a_second_run_resumes_and_options_that_do_not_fit_are_refused(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate(source, out, "--no-pictures", "--draws", "1", "--support", "2") == 0
    first = (out / "records.jsonl").read_bytes()
    assert evaluate(source, out, "--no-pictures", "--draws", "2", "--support", "1", "2") == 0
    second = (out / "records.jsonl").read_bytes()
    assert second.startswith(first)
    assert len(second.splitlines()) == 1 + 4
    before = contents(out)
    assert "was made with seed 0, now it is 1" in refused(capsys, evaluate(source, out, "--seed", "1"))
    assert contents(out) == before
    assert evaluate(source, out, "--no-pictures", "--draws", "1", "--seed", "1", "--overwrite") == 0
    assert (out / "records.jsonl").read_bytes() != second


def test_ensembles_from_pools(source, tmp_path):
    out = tmp_path / "out"
    options = ["--support", "1", "2", "--ensemble", "2", "--pool", "2", "3", "--no-pictures"]
    assert evaluate(source, out, *options) == 0
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    found = [(one["support"], one["pool"]) for one in results["conditions"]]
    assert found == 2 * [(1, 2), (2, 2), (1, 3), (2, 3)]
    assert (out / "ensembling.png").is_file()


def test_plots_and_pictures_of_an_earlier_run_do_not_stay(source, tmp_path):
    out = tmp_path / "out"
    assert evaluate(source, out, "--support", "1", "2", "--ensemble", "2") == 0
    assert {"support_size.png", "ensembling.png"} <= {file.name for file in out.iterdir()}
    (out / "pictures" / "mine.png").write_bytes(b"")
    assert evaluate(source, out, "--support", "1", "--no-pictures", "--overwrite") == 0
    left = {str(file) for file in contents(out)}
    assert left == {"records.jsonl", "results.json", "tables.md", "tables.tex", "datasets.png", "pictures/mine.png"}


def test_subjects_distinguished_later_are_other_data(source, tmp_path, capsys):
    options = ["--no-pictures", "--draws", "1", "--support", "1"]
    assert evaluate(source, tmp_path / "out", *options) == 0
    said = refused(capsys, evaluate(source, tmp_path / "out", *options, "--subject-pattern", "s[01]?"))
    assert "the dataset support was" in said


def test_a_corpus_and_a_dataset_of_it(brightness, tmp_path, monkeypatch, capsys):
    for name in ("cells", "skin"):
        make_sources.pictures(tmp_path / name, 5)
        prepare_all(tmp_path / name, tmp_path / "corpus")
    options = ["--no-pictures", "--draws", "1"]
    assert evaluate(tmp_path / "corpus", tmp_path / "all", *options, "--minimum-area", "0") == 0
    results = json.loads((tmp_path / "all" / "results.json").read_text(encoding="utf-8"))
    assert set(results["datasets"]) == {"cells", "skin"}
    assert results["protocol"]["folds"] is None
    assert evaluate(tmp_path / "corpus" / "skin", tmp_path / "one", *options, "--folds", "2", "--tasks", "*/1") == 0
    results = json.loads((tmp_path / "one" / "results.json").read_text(encoding="utf-8"))
    assert list(results["conditions"][0]["tasks"]) == ["skin/image/2d/1"]
    assert results["conditions"][0]["tasks"]["skin/image/2d/1"]["cases"] == 5
    monkeypatch.chdir(tmp_path / "corpus" / "skin")
    assert evaluate(".", tmp_path / "here", *options, "--folds", "2", "--tasks", "*/1") == 0
    said = refused(capsys, evaluate(tmp_path / "corpus", tmp_path / "all", "--subject-pattern", "x"))
    assert "--subject-pattern: " in said
    assert "is a corpus" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--support", "0"], "support_sizes=(0,): pass numbers from 1"),
        (["--tasks", "liver"], "--tasks liver: matches none of 1 tasks, such as support/image/2d/255"),
        (["--out", "support/out"], "--out support/out lies in support"),
        (["--out", "labels"], "labels: already holds results.json; pass --overwrite"),
        (["--minimum-area", "0.9"], "none of 1 tasks can be evaluated"),
        (["--support", "4", "--pool", "2"], "support_sizes=(4,), pools=(2,): every pool is smaller than every size"),
        (["--ensemble", "1"], "an ensemble of 1: pass 2 to 1000 draws"),
        (["--draws", "1000000000"], "draws=1000000000: pass at most 1000"),
        (["--tolerance", "nan"], "tolerance=nan: pass a distance"),
        (["--one-class", "a\x1b[31m"], "--one-class: the name 'a\\x1b[31m' holds control characters"),
        (["--modality", "m" * 201], "has 201 characters; at most 200 are allowed"),
        (["--axis", "axial"], "is a picture and has no axis"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(source, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels" / "results.json").write_text("of something else")
    before = contents(tmp_path)
    assert message in refused(capsys, evaluate("support", "out", *options))
    assert contents(tmp_path) == before
