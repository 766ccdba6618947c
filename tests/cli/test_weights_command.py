"""`universeg-jax weights`."""

import argparse

import pytest

from universeg_jax.cli import weights
from universeg_jax.errors import WeightsError
from universeg_jax.weights import card, shipped


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path))
    parser = argparse.ArgumentParser()
    weights.add_parser(parser.add_subparsers())

    def run(*arguments):
        arguments = parser.parse_args(["weights", *arguments])
        arguments.run(arguments)
        return capsys.readouterr().out

    return run


def test_the_list_says_what_there_is_under_which_licence_and_where(run):
    lines, number = run().splitlines(), len(shipped.NAMES)
    assert [line.split("  ")[0] for line in lines[:number]] == list(shipped.NAMES)
    assert all(line.endswith("shipped") for line in lines[:number])
    released, *others = lines[number:]
    assert "OpenRAIL++-M, research use only" in released
    assert released.endswith("downloaded when first used, 5 MB")
    assert [line.split()[0] for line in others[:2]] == ["lite-medsam", "sam-vit-b"]


def test_a_name_gets_its_model_card(run):
    assert run("open-v4") == card("open-v4")


def test_shipped_weights_need_no_download(run):
    assert run("open-v4", "--download") == "open-v4: shipped\n"


def test_unknown_names_and_a_download_of_nothing_are_errors(run):
    with pytest.raises(WeightsError, match=f"known are {', '.join(shipped.NAMES)}"):
        run("open-v9")
    with pytest.raises(ValueError, match="NAME --download"):
        run("--download")
