import os
import signal

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from tests.helpers.corpora import assert_same, prepare_all
from tests.helpers.make_sources import nifti_pairs, pictures
from universeg_jax.data.corpus import workers
from universeg_jax.data.corpus.prepare import prepare
from universeg_jax.data.corpus.workers import (
    BASE,
    BYTES_PER_VALUE,
    EXPANSION,
    Beam,
    Processes,
    available_memory,
    memory_to_prepare,
    processes_that_fit,
)
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


def test_a_killed_worker_is_reported():
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


@pytest.mark.parametrize(
    ("wanted", "need", "budget", "found"),
    [
        (8, 0, 4 * BASE, 4),
        (8, 1000, 4 * BASE + 3999, 3),
        (8, 1000, 4 * BASE + 4000, 4),
        (2, 1000, 100 * BASE, 2),
        (8, 10**12, BASE, 1),
    ],
)
def test_memory_limits_the_number_of_processes(wanted, need, budget, found):
    assert processes_that_fit(wanted, need, budget) == found


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    texts = {"MEMINFO": "MemTotal: 9000 kB\nMemAvailable:   3000 kB\n", "LIMIT": "2500000\n", "USED": "500000\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(workers, name, str(tmp_path / name))
    assert available_memory() == 2_000_000
    (tmp_path / "LIMIT").write_text("max\n")
    assert available_memory() == 3000 * 1024
    (tmp_path / "MEMINFO").unlink()
    assert 2**28 < available_memory() < 2**60  # all memory of this machine


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.png", "a.tif", "a.JPG"])
def test_headers_tell_the_size_whatever_the_compression(tmp_path, name):
    file = tmp_path / name
    if name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(np.zeros((30, 20, 10), np.int16), np.eye(4)), file)
    elif name.endswith((".nrrd", ".mha")):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((10, 20, 30), np.int16)), str(file), True)
    else:
        Image.fromarray(np.zeros((200, 30), np.uint8)).save(file)
    assert memory_to_prepare(file) == BYTES_PER_VALUE * 6000


def test_arrays_count_once_and_slices_of_a_folder_together(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((5, 40, 50), np.uint8))
    assert 10_000 <= memory_to_prepare(tmp_path / "a.npz") < 10_500
    (tmp_path / "series").mkdir()
    for i in range(3):
        (tmp_path / "series" / f"{i}.dcm").write_bytes(bytes(100))
    assert memory_to_prepare(tmp_path / "series") == 300 * EXPANSION * BYTES_PER_VALUE


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.png", "a.npz", "gone.nii"])
def test_damaged_files_count_nothing(tmp_path, name):
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"damaged")
    assert memory_to_prepare(tmp_path / name) == 0
