import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from jax import export

import universeg_jax
from tests.helpers.stand_in import refused
from universeg_jax.cli.main import main
from universeg_jax.io.task_folder import read_support
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights import load, save
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters


@pytest.fixture
def weights(tmp_path):
    """A folder of weights of a small network."""
    model = blueprint(UniverSeg, UniverSegConfig(((2, 3), (3, 2)), input_size=8))
    set_parameters(model, {name: jnp.ones(given.shape) for name, given in get_parameters(model).items()})
    save(model, tmp_path / "small", provenance={"source": "ones", "licence": "CC0"})
    return tmp_path / "small"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_weights_of_a_folder(weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", "--weights", str(weights), "--out", str(out)]) == 0
    assert f"universeg.jax, for 8x8 images, in {out}" in capsys.readouterr().out
    assert sorted(contents(out)) == ["README.md", "export.json", "universeg.jax"]
    description = json.loads((out / "export.json").read_text(encoding="utf-8"))
    assert description["weights"] == {"name": "small", "source": "ones", "licence": "CC0"}
    assert export.deserialize(bytearray((out / "universeg.jax").read_bytes())).in_avals[0].shape[1:] == (8, 8, 1)


def test_outputs_are_replaced_only_when_asked(weights, tmp_path, capsys):
    command = ["export", "--quiet", "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    before = contents(tmp_path / "out")
    assert "already holds universeg.jax, README.md" in refused(capsys, main([*command, "--size", "10"]))
    assert contents(tmp_path / "out") == before
    assert main([*command, "--size", "10", "--overwrite"]) == 0
    assert "(S,10,10,1)" in (tmp_path / "out" / "export.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "9"], "size is 9; height and width must be divisible by 2: pass 8"),
        (
            ["--weights", "lite-medsam"],
            "lite-medsam cannot be exported, because only UniverSeg networks can: pass",
        ),
        (["--weights", "open-v9"], "unknown weights 'open-v9'"),
        (["--out", "small/out"], "--out small/out lies in small"),
        (["--out", "old"], "old: holds universeg.onnx; pass --format both, or another --out"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(weights, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "universeg.onnx").write_bytes(b"of an earlier run")
    before = sorted(tmp_path.rglob("*"))
    assert message in refused(capsys, main(["export", "--weights", "small", "--out", "out", *options]))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_shipped_weights_in_both_formats_segment_by_16_examples(tmp_path):
    out = tmp_path / "out"
    assert main(["export", "--quiet", "--weights", "open-v4", "--format", "both", "--out", str(out)]) == 0

    task = Path(universeg_jax.__path__[0]) / "assets" / "examples" / "fetal-head" / "support"
    support = read_support(task)
    images = np.stack(support.images)[..., None].astype(np.float32) / 255
    labels = (np.stack(support.labels)[..., None] > 0).astype(np.float32)
    arrays = images[:1], images, labels, np.ones(16, np.float32)
    expected = np.asarray(load("open-v4")(images[:1], images[None], labels[None]))
    largest = np.abs(expected).max()

    artifact = export.deserialize(bytearray((out / "universeg.jax").read_bytes()))
    np.testing.assert_allclose(artifact.call(*arrays), expected, rtol=0, atol=1e-5 * largest)
    session = onnxruntime.InferenceSession(out / "universeg.onnx")
    names = [given.name for given in session.get_inputs()]
    (found,) = session.run(["logits"], dict(zip(names, arrays, strict=True)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)
