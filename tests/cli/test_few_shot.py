import json
from argparse import Namespace

import pytest

from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.stacks import stack, write_alpnet
from tests.helpers.stand_in import Brightness, refused
from universeg_jax.cli import few_shot
from universeg_jax.cli.main import main
from universeg_jax.evaluate.few_shot.brightness import MatchedBrightness
from universeg_jax.models.protosam.pipeline import ProtoSAM


@pytest.fixture
def scans(tmp_path, monkeypatch):
    monkeypatch.setattr("universeg_jax.segment.segmenter.load_in_context", lambda weights: Brightness())
    write_alpnet(tmp_path / "scans", [stack(str(i), seed=i) for i in range(4)])
    return tmp_path / "scans"


def run(scans, *more):
    return main(["evaluate", str(scans), "-o", str(scans.parent / "out"), "--protocol", "few-shot", *more])


OPTIONS = ("--folds", "2", "--modality", "MR", "-q")


def test_the_command_writes_tables(scans):
    assert run(scans, *OPTIONS, "--organs", "1", "--blend", "other", "--blend-slices", "2", "--whole-volume") == 0
    out = scans.parent / "out"
    assert {file.name for file in out.iterdir()} == {"few_shot.jsonl", "few_shot.json", "few_shot.md", "few_shot.tex"}
    results = json.loads((out / "few_shot.json").read_text())
    assert len(results["means"]) == 9
    best = results["means"]["open-v4, slice of its 3 parts"]["1"]
    assert best["dice_3d"] > 0.9
    assert "--protocol few-shot" in results["command"]


def test_brightness_is_matched_by_the_encoder_of_protosam():
    model = ProtoSAM(PaintingSAM())
    method = few_shot._method(Namespace(match_brightness=True), model, "lite-medsam", "all", None)
    assert isinstance(method, MatchedBrightness)
    assert method.model is model
    assert method.name == "lite-medsam, all slices, matched"


def test_the_command_resumes(scans, capsys):
    assert run(scans, *OPTIONS) == 0
    content = (scans.parent / "out" / "few_shot.jsonl").read_bytes()
    assert run(scans, *OPTIONS) == 0
    assert (scans.parent / "out" / "few_shot.jsonl").read_bytes() == content
    assert "few-shot" not in refused(capsys, run(scans, "--folds", "4", "--modality", "MR", "-q"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--draws", "2"), "--draws: is no option of --protocol few-shot"),
        (("--blend-slices", "2"), "need --blend WEIGHTS"),
        (("--window", "5", "5"), "window=(5, 5): pass two finite intensities"),
        (("--support-slices", "0"), "support slices 0: pass thirds, all, or a number from 1"),
        (("--only-folds", "5"), "only=(5,): pass numbers of folds from 0 to 4"),
        (("--match-brightness",), "--match-brightness: needs a SAM, but open-v4 is a Brightness"),
        (("--features", "open-v4"), "--features open-v4: pass a SAM or a DINOv2, and a SAM as --weights"),
        (("--organs", "heart"), "organs heart: shown by no scan; there are 1, 2"),
        (("--folds", "9"), "folds=9: pass 2 to 4 for 4 scans"),
    ],
)
def test_unusable_options(scans, capsys, options, message):
    assert message in refused(capsys, run(scans, "--modality", "MR", "-q", *options))


def test_options_of_the_protocol_need_it(scans, capsys):
    code = main(["evaluate", str(scans), "-o", str(scans.parent / "out"), "--support-slices", "2", "-q"])
    assert "--support-slices: needs --protocol few-shot" in refused(capsys, code)
