import os
import signal

import pytest

from tests.helpers.corpora import assert_same, prepare_all
from tests.helpers.make_sources import nifti_pairs, pictures
from universeg_jax.data.corpus.prepare import prepare
from universeg_jax.data.corpus.workers import Beam, Processes
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.errors import InputError


def double(value):
    return 2 * value


def die(value):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("number", [1, 2])
def test_all_items_are_worked_on(number):
    with Processes(number) as workers:
        assert sorted(workers.run(double, range(9))) == list(range(0, 18, 2))


def test_a_killed_worker_is_told():
    with Processes(2) as workers, pytest.raises(InputError, match="a worker process was killed"):
        list(workers.run(die, range(3)))


def test_no_workers_are_refused():
    with pytest.raises(InputError, match="workers=0: pass a whole number at least 1"):
        Processes(0)


@pytest.mark.slow
def test_beam_makes_the_same_corpus(tmp_path):
    nifti_pairs(tmp_path / "source", 4, modality={"0": "CT"})
    (tmp_path / "source" / "imagesTr" / "scan_001.nii.gz").write_bytes(b"broken")
    prepare_all(tmp_path / "source", tmp_path / "processes")
    [source] = find_sources(tmp_path / "source")
    with Beam("DirectRunner") as workers:
        prepared = prepare(source, tmp_path / "beam", workers=workers, quiet=True)
    assert list(prepared.about["left_out"]) == ["scan_001"]
    assert_same(tmp_path / "processes", tmp_path / "beam")


def test_an_unknown_runner_is_refused():
    with pytest.raises(InputError, match=r"--runner FastRunner: .*DirectRunner"):
        Beam("FastRunner")


def test_without_beam_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    pictures(tmp_path, 1)
    with pytest.raises(InputError, match=r"--runner needs Apache Beam: pip install .*\[beam\]"):
        Beam("DirectRunner")
