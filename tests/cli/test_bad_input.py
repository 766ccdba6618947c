"""Whatever is wrong with the input: exit code 2, one line, nothing written and nothing lost."""

import shutil

import numpy as np
import pytest
from PIL import Image

import universeg_jax.weights
from tests.helpers.stand_in import Brightness, predict, refused, save
from universeg_jax.cli.main import main
from universeg_jax.errors import InputError
from universeg_jax.util import files

pytestmark = pytest.mark.usefixtures("brightness")


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def truncated(path):
    path.write_bytes(path.read_bytes()[:60])


def with_nan(path):
    path.unlink()
    save(path.with_suffix(".tif"), np.full((20, 24), np.nan, np.float32))


def in_a_folder(path):
    (path.parent / "more").mkdir()


DAMAGES = {
    "truncated target": ("images/t1.png", truncated, "t1.png: cannot be read"),
    "truncated last target": ("images/t2.png", truncated, "t2.png: cannot be read"),
    "truncated mask": ("support/masks/s1.png", truncated, "s1.png: cannot be read"),
    "truncated label": ("labels/t1.png", truncated, "t1.png: cannot be read"),
    "not an image": ("images/t1.png", lambda path: path.write_text("x"), "t1.png: is not a PNG"),
    "empty file": ("images/t1.png", lambda path: path.write_bytes(b""), "t1.png: is not a PNG"),
    "NaN": ("images/t1.png", with_nan, "t1.tif: 480 of 480 values are NaN"),
    "mask without image": ("support/images/s1.png", lambda path: path.unlink(), "no image for masks/s1.png"),
    "image without mask": ("support/masks/s1.png", lambda path: path.unlink(), "no mask for images/s1.png"),
    "image without label": ("labels/t1.png", lambda path: path.unlink(), "no mask of the same name for t1.png"),
    "unlike sizes": ("support/masks/s1.png", lambda path: save(path, np.eye(7, dtype=np.uint8)), "s1.png: is 7x7"),
    "unlike label": ("labels/t1.png", lambda path: save(path, np.eye(7, dtype=np.uint8)), "t1.png: is 7x7"),
    "unknown class": ("labels/t1.png", lambda path: save(path, np.ones((21, 24), np.uint8)), "holds the classes 1"),
    "folder inside": ("images/t1.png", in_a_folder, "holds the folder more"),
    "no support": ("support", shutil.rmtree, "support: there is no such folder"),
    "no masks": ("support/masks", shutil.rmtree, "images/ and masks/"),
    "no images": ("images", shutil.rmtree, "images: there is no such file or folder"),
    "bad names": ("support/classes.json", lambda path: path.write_text("{"), "classes.json: is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_input(task, capsys, damage):
    name, change, message = DAMAGES[damage]
    change(task / name)
    before = snapshot(task)
    assert message in refused(capsys, predict(task, "--labels", task / "labels"))
    assert snapshot(task) == before


def test_empty_folder(task, capsys):
    (task / "none").mkdir()
    assert "it is empty" in refused(capsys, predict(task, "-i", task / "none"))


def test_masks_of_one_value(task, capsys):
    for path in (task / "support" / "masks").iterdir():
        save(path, np.zeros((20, 24), np.uint8))
    assert "nothing to segment" in refused(capsys, predict(task))
    assert not (task / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "1.5"], "threshold"),
        (["--threshold", "nan"], "threshold"),
        (["--ensemble", "0"], "ensemble"),
        (["--support-size", "9"], "support_size"),
        (["--seed", "-1"], "seed"),
        (["--window", "5", "5"], "window"),
        (["--largest-component"], "--largest-component is for volumes; leave it out for pictures"),
        (["--axis", "axial"], "--axis is for volumes"),
        (["--channel", "0"], "--channel is for volumes"),
        (["--islands", "0.1"], "--islands is for volumes"),
    ],
)
def test_options_out_of_range(task, capsys, options, message):
    assert message in refused(capsys, predict(task, *options))
    assert not (task / "out").exists()


def test_options_that_cannot_be_parsed(task):
    with pytest.raises(SystemExit) as left:
        predict(task, "--ensemble", "many")
    assert left.value.code == 2


def test_outputs_of_an_earlier_run(task, capsys):
    assert predict(task) == 0
    before = snapshot(task)
    error = refused(capsys, predict(task))
    assert (
        "already holds masks/t0.png, masks/t1.png, masks/t2.png, overview.png, report.json; pass --overwrite" in error
    )
    assert snapshot(task) == before


def test_failing_while_overwriting_keeps_what_was_there(task, capsys, monkeypatch):
    assert predict(task) == 0
    before = snapshot(task / "out")
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: Failing(InputError("no more")), raising=False)
    assert "no more" in refused(capsys, predict(task, "--overwrite"))
    assert snapshot(task / "out") == before


class Failing(Brightness):
    """Fails when it is to predict."""

    def __init__(self, error):
        self.error = error

    def prepare(self, images, labels, mask):
        raise self.error


def test_interrupted(task, capsys, monkeypatch):
    before = snapshot(task)
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: Failing(KeyboardInterrupt()), raising=False)
    assert predict(task) == 130
    assert "interrupted; no results were written" in capsys.readouterr().err
    assert snapshot(task) == before


def test_unexpected_errors_leave_nothing_either(task, monkeypatch):
    before = snapshot(task)
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: Failing(RuntimeError("a bug")), raising=False)
    with pytest.raises(RuntimeError):
        predict(task)
    assert snapshot(task) == before


def test_unknown_weights(task, capsys, monkeypatch):
    def unknown(name):
        raise InputError(f"{name}: no such weights")

    monkeypatch.setattr(universeg_jax.weights, "load", unknown, raising=False)
    assert "nonsense: no such weights" in refused(capsys, predict(task, "--weights", "nonsense"))
    assert not (task / "out").exists()


@pytest.mark.parametrize("place", ["images", "images/out", "support", "support/masks/x", "labels/deep/x"])
def test_out_in_an_input_folder(task, capsys, place):
    before = snapshot(task)
    error = refused(capsys, predict(task, "-o", task / place, "--labels", task / "labels", "--overwrite"))
    assert "which holds inputs" in error
    assert snapshot(task) == before


def test_inputs_where_masks_are_written(task, capsys):
    (task / "out").mkdir()
    (task / "labels").rename(task / "out" / "masks")
    before = snapshot(task)
    error = refused(capsys, predict(task, "--labels", task / "out" / "masks", "--overwrite"))
    assert "would write where the input" in error
    assert snapshot(task) == before
    error = refused(capsys, predict(task, "-i", task / "out" / "masks" / "t0.png", "--overwrite"))
    assert "would write where the input" in error


@pytest.mark.parametrize("name", ["out", "out/masks", "out/deep/er"])
def test_files_where_folders_are_needed(task, capsys, name):
    blocked = task / ("out" if name == "out/deep/er" else name)
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("mine")
    out = task / name if name == "out/deep/er" else task / "out"
    assert f"{blocked}: is a file" in refused(capsys, predict(task, "-o", out, "--overwrite"))
    assert blocked.read_text() == "mine"


def test_folder_where_a_file_is_needed(task, capsys):
    (task / "out" / "overview.png").mkdir(parents=True)
    assert "overview.png: is a folder" in refused(capsys, predict(task, "--overwrite"))


def test_no_permission_to_write(task, capsys, monkeypatch):
    def forbidden(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files.Path, "mkdir", forbidden)
    assert f"{task / 'out'}: cannot write there (Permission denied)" in refused(capsys, predict(task))


def test_full_disk(task, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    before = snapshot(task)
    monkeypatch.setattr(Image.Image, "save", full)
    assert "No space left on device" in refused(capsys, predict(task))
    monkeypatch.undo()
    assert snapshot(task) == before


def test_demo_keeps_earlier_outputs(tmp_path, capsys):
    (tmp_path / "overview.png").write_text("mine")
    assert "already holds overview.png" in refused(capsys, main(["demo", "--out", str(tmp_path)]))
    assert [path.name for path in tmp_path.iterdir()] == ["overview.png"]
