import json

import numpy as np
import pytest
from PIL import Image

from tests.helpers.stand_in import bright_disc, predict, save, write_task
from universeg_jax.evaluate.metrics import dice
from universeg_jax.weights import shipped

pytestmark = pytest.mark.usefixtures("brightness")


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_masks_overview_and_report(task, capsys):
    assert predict(task, "--labels", task / "labels") == 0
    assert files_in(task / "out") == ["masks/t0.png", "masks/t1.png", "masks/t2.png", "overview.png", "report.json"]
    for i in range(3):
        mask, truth = read(task / "out" / "masks" / f"t{i}.png"), read(task / "labels" / f"t{i}.png")
        assert mask.dtype == np.uint8
        assert mask.shape == truth.shape
        assert set(np.unique(mask)) == {0, 255}
        assert dice(mask == 255, truth == 255) > 0.8
    table = capsys.readouterr().out
    assert "mean" in table
    assert str(task / "out" / "overview.png") in table


def test_report(task):
    (task / "support" / "classes.json").write_text('{"255": "disc"}')
    predict(task, "--labels", task / "labels", "--threshold", "0.4", "--quiet")
    report = json.loads((task / "out" / "report.json").read_text())
    assert report["command"].startswith("universeg-jax predict -s ")
    assert report["versions"]["jax"]
    assert report["settings"] == {
        "model": "universeg",
        "weights": shipped.DEFAULT,
        "features": None,
        "window": None,
        "dtype": "float32",
        "threshold": 0.4,
        "ensemble": 1,
        "support_size": None,
        "similar": None,
        "seed": 0,
        "probabilities": False,
    }
    assert report["support"]["names"] == ["s0", "s1", "s2", "s3"]
    assert report["classes"] == {"0": "0", "255": "disc"}
    assert [image["name"] for image in report["images"]] == ["t0", "t1", "t2"]
    image, mask = report["images"][1], read(task / "out" / "masks" / "t1.png")
    assert (image["height"], image["width"]) == mask.shape
    assert image["classes"]["disc"]["pixels"] == (mask == 255).sum()
    assert image["classes"]["disc"]["fraction"] == pytest.approx((mask == 255).mean(), abs=1e-6)
    assert image["classes"]["disc"]["probability"] > 0.4
    assert image["classes"]["0"]["dice"] is None
    dices = [image["classes"]["disc"]["dice"] for image in report["images"]]
    assert report["mean_dice_of_class"]["disc"] == pytest.approx(np.mean(dices), abs=1e-3)


def test_quiet_prints_nothing(task, capsys):
    assert predict(task, "-q", "--labels", task / "labels") == 0
    assert capsys.readouterr() == ("", "")


def test_one_file(task):
    assert predict(task, "-i", task / "images" / "t1.png", "--labels", task / "labels") == 0
    assert files_in(task / "out" / "masks") == ["t1.png"]


def test_out_next_to_a_single_image(task):
    assert predict(task, "-i", task / "images" / "t1.png", "-o", task / "images" / "out") == 0


def test_ensemble_and_probabilities(task):
    assert predict(task, "--ensemble", "2", "--support-size", "2", "--seed", "7", "--probabilities") == 0
    mask = read(task / "out" / "masks" / "t0.png")
    probability, spread = (read(task / "out" / folder / "t0.png") for folder in ("probabilities", "spread"))
    assert probability.dtype == spread.dtype == np.uint16
    np.testing.assert_array_equal(mask == 255, probability > 65535 / 2)
    assert (spread == 0).all()  # the stand-in does not look at its support
    assert json.loads((task / "out" / "report.json").read_text())["images"][0]["spread"] == 0


@pytest.mark.parametrize(
    ("encode", "mode", "background", "disc"),
    [
        (lambda m: m // 255 * np.uint8(3), "L", 0, 3),
        (lambda m: m.astype(np.uint16) * 4, "I;16", 0, 1020),
        (lambda m: m == 255, "L", 0, 255),
        (lambda m: np.stack([m, 255 - m, m // 2], -1), "RGB", [0, 255, 0], [255, 0, 127]),
    ],
    ids=["values", "16-bit", "1-bit", "colour"],
)
def test_masks_are_written_as_they_came(tmp_path, encode, mode, background, disc):
    write_task(tmp_path, encode=encode, targets=1)
    assert predict(tmp_path, "--labels", tmp_path / "labels") == 0
    with Image.open(tmp_path / "out" / "masks" / "t0.png") as picture:
        assert picture.mode == mode
        values = np.asarray(picture)
    assert values[0, 0].tolist() == background
    assert values[10, 11].tolist() == disc


def test_palette_is_kept(task):
    for path in (task / "support" / "masks").iterdir():
        picture = Image.fromarray(read(path) // 255)
        picture.putpalette([0, 0, 0, 10, 200, 30])
        picture.save(path)
    assert predict(task) == 0
    with Image.open(task / "out" / "masks" / "t0.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[3:6] == [10, 200, 30]


def test_several_classes(tmp_path):
    levels = np.array([0, 5, 9], np.uint8)
    for folder, names in (("support/images", "ab"), ("images", "x")):
        for name in names:
            bands = np.resize(np.arange(3).repeat(10), (12, 30))
            save(tmp_path / folder / f"{name}.png", (bands * 120).astype(np.uint8))
            save(tmp_path / ("support/masks" if name in "ab" else "labels") / f"{name}.png", levels[bands])
    assert predict(tmp_path, "--labels", tmp_path / "labels", "--probabilities", "--ensemble", "2") == 0
    assert [p for p in files_in(tmp_path / "out") if p.startswith("prob")] == [
        f"probabilities/{value}/x.png" for value in (0, 5, 9)
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["mean_dice_of_class"]) == {"5", "9"}
    assert report["mean_dice"] > 0.8


def test_many_targets_are_summarised(tmp_path, capsys):
    write_task(tmp_path, targets=40)
    assert predict(tmp_path, "--labels", tmp_path / "labels") == 0
    table = capsys.readouterr().out
    assert "t39" not in table
    assert "worst" in table


def test_overwrite_replaces_outputs_and_leaves_other_files(task):
    assert predict(task) == 0
    (task / "out" / "masks" / "mine.txt").write_text("keep")
    (task / "out" / "masks" / "t0.png").write_bytes(b"old")
    assert predict(task, "--overwrite") == 0
    assert (task / "out" / "masks" / "mine.txt").read_text() == "keep"
    assert read(task / "out" / "masks" / "t0.png").any()
    assert not [path for path in task.iterdir() if path.name.startswith(".")]


def test_folders_on_the_way_to_out_are_made(task):
    assert predict(task, "-o", task / "new" / "newer" / "out") == 0
    assert (task / "new" / "newer" / "out" / "report.json").is_file()


def test_warnings_are_shown_and_recorded(task, capsys):
    save(task / "images" / "blank.png", np.full((20, 20), 9, np.uint8))
    (task / "images" / "notes.txt").write_text("x")
    assert predict(task) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    recorded = json.loads((task / "out" / "report.json").read_text())["warnings"]
    assert said == [f"warning: {message}" for message in recorded]
    assert any("notes.txt" in line for line in said)
    assert any("blank" in line for line in said)


def test_rotated_photographs(task):
    image, mask = bright_disc(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(task / "images" / "t0.png", exif=exif)
    save(task / "labels" / "t0.png", mask)
    assert predict(task, "--labels", task / "labels") == 0
    assert dice(read(task / "out" / "masks" / "t0.png") == 255, mask == 255) > 0.8
