"""Counting of faults: broken promises must show in the table."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.faults import page, servers
from experiments.faults.compare import differences
from experiments.faults.damage import flipped
from experiments.faults.record import Results, Tries
from universeg_jax.errors import InputError


def test_results_are_added_and_kept(tmp_path):
    for fault, outcomes in (("a", ["", "", "traceback", "traceback"]), ("b", [""]), ("a", ["", ""])):
        Results(tmp_path, {"command": "cmd"}).add(Tries.of("group", fault, "promise", outcomes))
    assert (tmp_path / "table.md").read_text().splitlines()[-2:] == [
        "| group: a | promise | 2 | 2 |  |",
        "| group: b | promise | 1 | 1 |  |",
    ]


@pytest.mark.parametrize(
    ("kind", "broken"), [("checked", {}), ("blind", {"other values": 8}), ("crash", {"traceback: KeyError": 8})]
)
def test_damage_that_is_missed_is_counted(tmp_path, kind, broken):
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "file").write_bytes(bytes(16))

    def read(folder: Path):
        values = np.frombuffer((folder / "file").read_bytes(), np.uint8)
        if values.any() and kind == "checked":
            raise InputError(f"{folder}/file: is damaged")
        if values.any() and kind == "crash":
            raise KeyError
        return values

    found = flipped("file", tmp_path / "whole", read, tmp_path, pattern="*", flips=8, checked=True)
    assert (found.kept, found.broken) == (8 - sum(broken.values()), broken)


@pytest.mark.parametrize("name", ["body cut short", "length of a terabyte", "gzip body", "redirection to ftp"])
def test_hostile_servers_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(servers, "ANSWERS", {name: servers.ANSWERS[name]})
    [found] = servers.hostile(tmp_path, times=1)
    assert (found.kept, found.broken) == (1, {})


def test_a_server_whose_file_is_accepted_is_counted(tmp_path, monkeypatch):
    def whole(request):
        servers._head(request, Content_Length="5")
        request.wfile.write(b"12345")

    monkeypatch.setattr(servers, "ANSWERS", {"honest": whole})
    [found] = servers.hostile(tmp_path, times=1)
    assert found.broken == {"the file was accepted": 1}


def test_folders_are_compared_by_content(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "masks").mkdir(parents=True)
        (tmp_path / name / "masks" / "a").write_text("mask")
        (tmp_path / name / "report.json").write_text(name)  # it holds times
    assert differences(tmp_path / "one", tmp_path / "other") == ""
    (tmp_path / "other" / "masks" / "a").write_text("mark")
    assert differences(tmp_path / "one", tmp_path / "other") == "another content: masks/a"
    (tmp_path / "other" / ".uj-1").mkdir()
    (tmp_path / "other" / ".uj-1" / "a").write_text("")
    assert differences(tmp_path / "one", tmp_path / "other").startswith("temporary files are left")


def test_broken_promises_of_the_page_are_counted(tmp_path):
    page._write_images(tmp_path, "pictures")
    labelling = page._label(tmp_path)
    done = dict(next(labelling) for _ in range(6))
    assert done == {"0": 2, "1": 2, "2": 1, "3": 1}
    assert page._problem(tmp_path, done) == ""
    assert page._problem(tmp_path, {}) == "nothing was saved before the kill"
    assert page._problem(tmp_path, {**done, "3": 3}) == "another mask than the one saved last"
    mask = tmp_path / "masks" / "2.png"
    Image.fromarray(page._mask(1)[::-1].astype(np.uint8)).save(mask)
    assert page._problem(tmp_path, done) == "a mask is not whole"
    mask.unlink()
    assert page._problem(tmp_path, done) == "a saved mask is lost"
    mask.write_bytes(b"half")
    assert page._problem(tmp_path, done).startswith("a mask cannot be read: FOLDER")
