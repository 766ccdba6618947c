"""`predict --model protosam`, with a SAM that paints boxes."""

import json

import numpy as np
import pytest
from PIL import Image

import universeg_jax.weights
from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.stand_in import Brightness, predict, refused
from universeg_jax.evaluate.metrics import dice
from universeg_jax.models.protosam.pipeline import ProtoSAM


@pytest.fixture
def painting(monkeypatch):
    monkeypatch.setattr("universeg_jax.weights.loading.SAM", PaintingSAM)
    monkeypatch.setattr("universeg_jax.weights.loading.load_network", lambda name: PaintingSAM())


@pytest.mark.usefixtures("painting")
def test_one_example_segments_a_folder(task):
    for file in [*(task / "support").rglob("s[123].png")]:
        file.unlink()
    assert predict(task, "--model", "protosam", "--labels", task / "labels") == 0
    report = json.loads((task / "out" / "report.json").read_text())
    assert report["settings"]["model"] == "protosam"
    assert report["settings"]["weights"] == "lite-medsam"
    for i in range(3):
        mask, truth = (np.asarray(Image.open(task / part / f"t{i}.png")) for part in ("out/masks", "labels"))
        assert mask.shape == truth.shape
        assert dice(mask == 255, truth == 255) > 0.8


def test_weights_of_the_other_model_are_refused(task, monkeypatch, capsys):
    monkeypatch.setattr("universeg_jax.weights.loading.load_network", lambda name: Brightness())
    said = refused(capsys, predict(task, "--model", "protosam", "-w", "open-v0"))
    assert "open-v0 is a Brightness; ProtoSAM refines with a SAM, such as lite-medsam" in said
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: PaintingSAM())
    monkeypatch.setattr("universeg_jax.segment.segmenter.SAM", PaintingSAM)
    said = refused(capsys, predict(task, "-w", "lite-medsam"))
    assert "lite-medsam are weights of a SAM: pass --model protosam" in said
    said = refused(capsys, predict(task, "--features", "dinov2-vits14"))
    assert "--features dinov2-vits14 is for --model protosam" in said
    assert not (task / "out").exists()


def test_a_features_network_is_a_dinov2(painting, task, capsys):
    said = refused(capsys, predict(task, "--model", "protosam", "--features", "lite-medsam"))
    assert "lite-medsam is a PaintingSAM; features are taken from a DINOv2" in said


def test_weights_of_a_sam_are_a_protosam_to_the_segmenter(monkeypatch):
    from universeg_jax.segment.segmenter import Segmenter

    monkeypatch.setattr("universeg_jax.segment.segmenter.SAM", PaintingSAM)
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: PaintingSAM())
    assert isinstance(Segmenter("lite-medsam").model, ProtoSAM)
