"""The command `evaluate --protocol volumes`."""

import pytest

import universeg_jax.weights
from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import write_volumes
from universeg_jax.cli.main import main


@pytest.fixture
def source(monkeypatch, tmp_path):
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: Intensities(), raising=False)
    return write_volumes(tmp_path, support=3, targets=0) / "support"


def evaluate(source, *more):
    return main(["evaluate", str(source), "-o", str(source.parent / "out"), *more])


def test_volumes_are_evaluated_and_tables_written(source, capsys):
    assert evaluate(source, "--protocol", "volumes", "--support", "1", "--draws", "1", "--slices", "8") == 0
    assert "1 labelled volume, 1 draws, 8 slices shown" in capsys.readouterr().out
    assert {file.name for file in (source.parent / "out").iterdir()} == {
        "volumes.jsonl",
        "volumes.json",
        "volumes.md",
        "volumes.tex",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "volumes", "--support", "1", "2"), "--support 1 2: pass one number"),
        (("--protocol", "volumes", "--pool", "4"), "--pool: is no option of --protocol volumes"),
        (("--protocol", "volumes", "--support", "5"), "support=5: only 2 volumes"),
        (("--slices", "4"), "--slices: needs --protocol volumes"),
    ],
)
def test_options_that_cannot_be_used(source, capsys, options, message):
    assert evaluate(source, *options) == 2
    assert message in capsys.readouterr().err
