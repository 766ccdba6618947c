"""`python -m convert universeg`."""

import re

import jax
import numpy as np
import pytest

from universeg_jax.cli.main import main
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights import export_universeg, load, save_torch, store
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters

CONFIG = UniverSegConfig(((2, 3), (4, 5), (3, 2)))


def random_tensors(seed=0):
    model, rng = blueprint(UniverSeg, CONFIG), np.random.default_rng(seed)
    shapes = {name: value.shape for name, value in get_parameters(model).items()}
    set_parameters(model, {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})
    return export_universeg(model)


def assert_holds(folder, tensors):
    for name, tensor in export_universeg(store.load(folder)).items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.fixture
def file(tmp_path):
    save_torch(random_tensors(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_a_file_becomes_a_folder_and_a_report(file, tmp_path, capsys):
    assert (
        main(
            ["convert", "universeg", str(file), "--out", str(tmp_path / "new"), "--source", "here", "--licence", "mine"]
        )
        == 0
    )
    assert_holds(tmp_path / "new", random_tensors())
    assert load(tmp_path / "new").config == CONFIG
    provenance = store.read_description(tmp_path / "new")["provenance"]
    assert (provenance["source"], provenance["licence"], provenance["file"]) == ("here", "mine", "weights.pt")
    report = capsys.readouterr().out
    count = sum(tensor.size for tensor in random_tensors().values())
    assert f"32 for {count:,} parameters, all used" in report
    assert "encoder ((2, 3), (4, 5), (3, 2)), decoder ((4, 5), (2, 3))" in report
    assert provenance["git_blob_sha1"] in report
    assert re.search(r"max difference 0\.0$", report)


def test_the_cross_activation_is_reported(file, tmp_path, capsys):
    out = tmp_path / "new"
    assert main(["convert", "universeg", str(file), "--out", str(out), "--cross-activation", "leaky_relu"]) == 0
    assert load(out).config.cross_activation is jax.nn.leaky_relu
    assert "cross activation leaky_relu" in capsys.readouterr().out


def test_existing_files_are_replaced_only_with_overwrite(file, tmp_path, capsys):
    out = tmp_path / "new"
    main(["convert", "universeg", str(file), "--out", str(out)])
    save_torch(random_tensors(seed=1), file)
    assert main(["convert", "universeg", str(file), "--out", str(out)]) == 2
    assert f"{out}: exists" in capsys.readouterr().err
    assert_holds(out, random_tensors())
    assert main(["convert", "universeg", str(file), "--out", str(out), "--overwrite"]) == 0
    assert_holds(out, random_tensors(seed=1))


@pytest.mark.parametrize("kind", ["missing", "garbage", "cut off", "other network", "NaN"])
def test_bad_files_leave_nothing_but_one_message(kind, file, tmp_path, capsys):
    if kind == "missing":
        file.unlink()
    elif kind == "garbage":
        file.write_bytes(b"<html>no weights here</html>")
    elif kind == "cut off":
        file.write_bytes(file.read_bytes()[:3000])
    elif kind == "other network":
        save_torch({"fc.weight": np.zeros((2, 2), np.float32)}, file)
    else:
        save_torch(random_tensors() | {"out_conv.conv.bias": np.array([np.nan], np.float32)}, file)
    before = sorted(tmp_path.iterdir())
    assert main(["convert", "universeg", str(file), "--out", str(tmp_path / "deep" / "new")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count(str(file)) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_what_computes_something_else_when_read_again_is_not_kept(file, tmp_path, capsys, monkeypatch):
    original = store.load

    def damaged(folder):
        model = original(folder)
        model.head.bias[...] += 1
        return model

    monkeypatch.setattr(store, "load", damaged)
    assert main(["convert", "universeg", str(file), "--out", str(tmp_path / "new")]) == 2
    assert "compute something else" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]
