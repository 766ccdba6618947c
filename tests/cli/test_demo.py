import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import universeg_jax
from universeg_jax.cli import demo
from universeg_jax.cli.main import main
from universeg_jax.io.task_folder import find_targets, read_support, read_target
from universeg_jax.weights import shipped

EXAMPLES = Path(universeg_jax.__path__[0]) / "assets" / "examples"
TASKS = ("nuclei", "fetal-head")


@pytest.fixture
def few_examples(tmp_path, monkeypatch):
    """Let the demo find four images of each task, and the middle slices of one scan, with all labelled examples."""
    package = tmp_path / "package"
    examples = shutil.copytree(EXAMPLES, package / "assets" / "examples")
    for task in TASKS:
        for place in ("targets", "labels"):
            for file in sorted((examples / task / place).iterdir())[4:]:
                file.unlink()
    for place in ("targets", "labels"):
        first, *others = sorted((examples / "hippocampus" / place).iterdir())
        for file in others:
            file.unlink()
        scan = nibabel.load(first)
        middle = scan.shape[2] // 2
        nibabel.save(scan.slicer[:, :, middle - 2 : middle + 2], first)
    monkeypatch.setattr(demo, "files", lambda name: package)


@pytest.mark.parametrize("task", TASKS)
def test_examples_are_complete_and_apart(task):
    support = read_support(EXAMPLES / task / "support")
    targets = find_targets(EXAMPLES / task / "targets", EXAMPLES / task / "labels")
    assert len(support.names) == 16
    assert len(targets) == 8
    assert list(support.class_names) == [0, 255]
    subjects = [name.split("_")[0] for name in [*support.names, *(target.name for target in targets)]]
    assert len(set(subjects)) == 24
    for target in targets:
        image, label = read_target(target, support)
        assert image.shape == label.shape == (128, 128)
        assert label.any()


def test_examples_are_small():
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.usefixtures("brightness")
def test_demo_writes_masks_and_one_picture(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    names = sorted(path.name for path in (tmp_path / "demo").iterdir())
    assert names == ["fetal-head", "hippocampus", "nuclei", "overview.png", "report.json"]
    for target in sorted((EXAMPLES / "hippocampus" / "targets").iterdir()):
        scan, mask = nibabel.load(target), nibabel.load(tmp_path / "demo" / "hippocampus" / "masks" / target.name)
        assert mask.shape == scan.shape
        np.testing.assert_array_equal(mask.affine, scan.affine)
    for task in TASKS:
        assert len(list((tmp_path / "demo" / task / "masks").iterdir())) == 8
    said = capsys.readouterr().out
    assert said.count(f"seen by {shipped.DEFAULT} in training") == 2
    assert said.count(f"new to {shipped.DEFAULT}") == 1
    assert said.count("\nmean") == 3
    assert said.count("expected Dice of 8 images") == 2


@pytest.mark.usefixtures("brightness", "few_examples")
def test_other_weights_are_not_said_to_have_seen_them(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--weights", "universeg-v1"]) == 0
    assert "not known to be seen by universeg-v1" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("few_examples", "compiled_as_by_users")
def test_shipped_weights_segment_the_examples(tmp_path):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--quiet", "--weights", shipped.DEFAULT]) == 0
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    for task, floor in (("nuclei", 0.4), ("fetal-head", 0.7)):
        assert report["tasks"][task]["mean_dice"] > floor
    [scan] = report["tasks"]["hippocampus"]["scans"]
    assert all(found["dice"] > 0.5 for found in scan["structures"].values())
    with Image.open(tmp_path / "demo" / "overview.png") as picture:
        assert np.asarray(picture).std() > 10
