"""The tutorial runs, and keeps its pictures."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.pages import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
SMALL_NETWORKS = """
from pathlib import Path
from universeg_jax.weights import shipped
shipped.FOLDER = Path({folder!r})
"""


@pytest.fixture
def tutorial():
    return nbformat.read(TUTORIAL, as_version=4)


@pytest.mark.slow
def test_the_tutorial_runs(tutorial, small_networks, tmp_path, monkeypatch):
    """All cells run without an error, with small random networks in place of the real weights."""
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(small_networks / "cache"))
    first = SMALL_NETWORKS.format(folder=str(small_networks / "shipped"))
    tutorial.cells.insert(0, nbformat.v4.new_code_cell(first))
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(tutorial, timeout=900, kernel_name="python3", resources=place).execute()


def test_the_tutorial_keeps_its_pictures(tutorial):
    outputs = [output for cell in tutorial.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 7
    assert not [output for output in outputs if output.output_type == "error"]
    assert TUTORIAL.stat().st_size < 1_000_000


def test_the_tutorial_tells_nothing_of_the_machine(tutorial):
    text = nbformat.writes(tutorial)
    assert not [place for place in ("/home/", "/root/", "/tmp/", "/Users/", "site-packages") if place in text]
