import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.corpora import assert_same
from tests.helpers.make_sources import nifti_pairs, npz, pictures
from universeg_jax.cli.main import main
from universeg_jax.data.corpus import store
from universeg_jax.data.corpus.read import Corpus

ROOT = Path(__file__).parents[2]


def prepare(*arguments) -> int:
    return main(["prepare", *map(str, arguments), "--workers", "1"])


def refused(capsys, *arguments) -> str:
    assert prepare(*arguments) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_three_kinds_in_one_corpus(tmp_path, capsys):
    assert prepare(pictures(tmp_path / "cells", 5), "--out", tmp_path / "corpus", "--licence", "CC0") == 0
    out = capsys.readouterr().out
    assert "cells: 5 of 5 scans used, 5 images = 3 train + 1 validation + 1 test, 2 tasks" in out
    assert "note: subjects are unknown" in out
    assert f"look at {tmp_path / 'corpus' / 'cells' / 'sheet.png'}" in out
    nifti = nifti_pairs(tmp_path / "scans", 3)
    about = ("--modality", "CT", "--name", "Liver!", "--source-url", "https://x.org", "--source-version", "2")
    assert prepare(nifti, "--out", tmp_path / "corpus", *about) == 0
    npz(tmp_path / "sets" / "a.npz", 3)
    npz(tmp_path / "sets" / "b.npz", 3)
    assert prepare(tmp_path / "sets", "--out", tmp_path / "corpus") == 0
    assert "b: 3 of 3 scans used, 3 images = 1 train + 1 validation + 1 test, 1 task\n" in capsys.readouterr().out
    corpus = Corpus(tmp_path / "corpus")
    assert corpus.datasets == ("a", "b", "cells", "liver")
    assert corpus.about["cells"]["licence"] == "CC0"
    assert (corpus.about["liver"]["origin"], corpus.about["liver"]["version"]) == ("https://x.org", "2")
    assert len(corpus.tasks) == 2 + 6 + 1 + 1


def test_kinds_of_one_structure_are_one_class(tmp_path, capsys):
    folder = pictures(tmp_path / "cells", 5)
    assert prepare(folder, "--out", tmp_path / "apart", "-q") == 0
    assert prepare(folder, "--out", tmp_path / "corpus", "--one-class", "cell") == 0
    assert "note: its classes are joined to one, cell" in capsys.readouterr().out
    corpus, apart = Corpus(tmp_path / "corpus"), Corpus(tmp_path / "apart")
    [task] = corpus.tasks
    assert task.name == "cells/image/2d/cell"
    for example in corpus.examples(task):
        kinds = sum(apart.read(kind, example.image)[1] for kind in apart.tasks)
        np.testing.assert_allclose(corpus.read(task, example.image)[1], kinds, atol=1.5 / 255)
    assert "made from other files or with other options" in refused(capsys, folder, "--out", tmp_path / "corpus")


def test_quiet(tmp_path, capsys):
    folder = pictures(tmp_path / "cells", 3)
    (folder / "images" / "case01.png").write_bytes(b"")
    assert prepare(folder, "--out", tmp_path / "corpus", "--quiet") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: skipped case01: images/case01.png: is not a PNG")
    assert len(err.splitlines()) == 1


def test_bad_input_is_one_line(tmp_path, capsys):
    assert "there is no such file" in refused(capsys, tmp_path / "gone", "--out", tmp_path / "corpus")
    assert "its layout is unknown" in refused(capsys, tmp_path, "--out", tmp_path / "corpus")
    npz(tmp_path / "sets" / "a.npz", 2)
    npz(tmp_path / "sets" / "b.npz", 2)
    message = refused(capsys, tmp_path / "sets", "--out", tmp_path / "corpus", "--name", "c")
    assert "holds 2 datasets; give one of them" in message
    assert not (tmp_path / "corpus").exists()
    (tmp_path / "file").write_text("mine")
    message = refused(capsys, tmp_path / "sets", "--out", tmp_path / "file")
    assert "file: cannot be created as a corpus (Not a directory); pass another folder" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_stop_on_error(tmp_path, capsys):
    folder = pictures(tmp_path / "cells", 3)
    (folder / "images" / "case01.png").write_bytes(b"")
    assert "case01.png: is not a PNG" in refused(capsys, folder, "--out", tmp_path / "corpus", "--on-error", "stop")
    with pytest.raises(SystemExit):
        prepare(folder, "--out", tmp_path / "corpus", "--on-error", "ask")


def start(source: Path, corpus: Path, workers: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "universeg_jax", "prepare", source, "--out", corpus, "--workers", workers]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def wait_until(condition, what: str) -> None:
    """The limit is for what hangs: a busy machine takes its time to start a process and its workers."""
    limit = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < limit, f"not within 240 s: {what}"
        time.sleep(0.05)


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_is_taken_up(tmp_path, workers):
    number = 24
    folder = pictures(tmp_path / "cells", number, size=(900, 1200))
    staged = tmp_path / "corpus" / ".cells-partial" / "items"
    run = start(folder, tmp_path / "corpus", workers)
    wait_until(lambda: len(list(staged.glob("*.json"))) >= 4, "four items staged")
    run.kill()
    run.communicate()
    wait_until(lambda: group_is_gone(run.pid), "the workers end with their parent")
    finished = {file: file.stat().st_mtime_ns for file in staged.glob("*.json")}
    assert 4 <= len(finished) < number
    assert not (tmp_path / "corpus" / "cells").exists()

    again = start(folder, tmp_path / "corpus", workers)
    wait_until(lambda: len(list(staged.glob("*.json"))) > len(finished) or again.poll() is not None, "it goes on")
    assert all(file.stat().st_mtime_ns == time for file, time in finished.items() if file.exists())
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    assert int(re.search(r"\((\d+) of them by an earlier run\)", out)[1]) == len(finished)

    assert prepare(folder, "--out", tmp_path / "whole", "-q") == 0
    assert_same(tmp_path / "corpus", tmp_path / "whole")


def test_interrupted(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "resize", interrupt)
    with pytest.raises(SystemExit) as exit_:
        prepare(pictures(tmp_path / "cells", 2), "--out", tmp_path / "corpus")
    assert exit_.value.code == 130
    assert "finished scans are kept" in capsys.readouterr().err
