import errno
import fcntl
import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.corpora import assert_same, prepare_all
from tests.helpers.make_sources import acdc, nifti_pairs, npz, pictures, save
from universeg_jax.data.corpus import store
from universeg_jax.data.corpus.prepare import prepare
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.data.corpus.workers import Processes
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.errors import InputError


def test_pictures_become_tasks(tmp_path):
    folder = pictures(tmp_path / "cells", 10)
    (folder / "classes.json").write_text('{"1": "small", "2": "large"}')
    [prepared] = prepare_all(folder, tmp_path / "corpus")
    about = prepared.about
    assert prepared.folder == tmp_path / "corpus" / "cells"
    assert {path.name for path in prepared.folder.iterdir()} >= {"64", "128", "256", "dataset.json", "index.npz"}
    assert json.loads((prepared.folder / "dataset.json").read_text()) == json.loads(json.dumps(about))
    assert about["classes"] == ["small", "large"]
    assert about["split"]["method"] == "60/20/20 by scan"
    assert about["split"]["images"] == {"train": 6, "validation": 2, "test": 2}
    assert about["tasks"]["cells/image/2d/small"] == {"train": 6, "validation": 2, "test": 2}
    assert "subjects are unknown: split by scan" in about["warnings"][0]
    assert "its licence is unknown" in about["warnings"]
    assert str(tmp_path) not in json.dumps(about)
    assert not [path for path in (tmp_path / "corpus").iterdir() if path.name[0] == "."]
    assert prepared.reused == 0


def test_volumes_become_slices(tmp_path):
    nifti_pairs(tmp_path / "source", 5, modality={"0": "MRI"}, labels={"1": "outer", "2": "inner"})
    [prepared] = prepare_all(tmp_path / "source", tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    assert [task.name for task in corpus.tasks] == [
        f"source/MR/{axis}/{label}" for axis in ("axial", "coronal", "sagittal") for label in ("inner", "outer")
    ]
    inner = next(task for task in corpus.tasks if (task.axis, task.label) == ("axial", "inner"))
    examples = corpus.examples(inner)
    # For each of five subjects the middle slice and that with most of it; the largest of the other label is neither.
    assert sorted(example.subject for example in examples) == sorted(2 * [f"scan_{i:03d}" for i in range(5)])
    assert len({example.split for example in examples if example.subject == "scan_000"}) == 1
    assert prepared.about["split"]["method"] == "60/20/20 by scan"
    assert "one subject may be in several splits" in prepared.about["warnings"][0]


def test_channels_become_modalities(tmp_path):
    nifti_pairs(tmp_path / "Task01_Brain", 1, channels=2, modality={"0": "FLAIR", "1": "T1w"})
    prepare_all(tmp_path, tmp_path / "corpus")
    assert {task.modality for task in Corpus(tmp_path / "corpus").tasks} == {"FLAIR", "T1w"}


def test_patients_stay_in_one_split(tmp_path):
    prepare_all(acdc(tmp_path / "source", patients=5), tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    assert len(corpus.tasks) == 3
    splits = {}
    for task in corpus.tasks:
        for example in corpus.examples(task):
            splits.setdefault(example.subject, set()).add(example.split)
    assert sorted(splits) == [f"patient{p:03d}" for p in range(1, 6)]
    assert sorted(split for [split] in splits.values()) == ["test", "train", "train", "train", "validation"]


def test_broken_items_are_left_out_and_named(tmp_path):
    folder = pictures(tmp_path / "cells", 6)
    (folder / "images" / "case02.png").write_bytes(b"\x89PNG")
    (folder / "masks" / "case04.png").unlink()
    [prepared] = prepare_all(folder, tmp_path / "corpus")
    assert prepared.about["scans"] == {"found": 6, "used": 4}
    assert prepared.about["left_out"] == {
        "case02": "images/case02.png: is not a PNG, JPEG, BMP or TIFF image, or its beginning is damaged",
        "case04": "images/case04.png: there is no mask of this name",
    }
    names = {image["name"] for image in Corpus(tmp_path / "corpus").source("cells")}
    assert names == {b"case00", b"case01", b"case03", b"case05"}


def test_no_failure_of_a_reader_ends_the_run(tmp_path, monkeypatch):
    def fail(*_):
        raise TypeError("odd header")

    monkeypatch.setattr("universeg_jax.data.readers.pictures.read_picture", fail)
    with pytest.raises(InputError, match=r"case00\.png: cannot be used \(TypeError: odd header\)"):
        prepare_all(pictures(tmp_path / "cells", 2), tmp_path / "corpus")


def test_a_broken_item_can_stop(tmp_path):
    folder = pictures(tmp_path / "cells", 3)
    intact = (folder / "images" / "case02.png").read_bytes()
    (folder / "images" / "case02.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"images/case02\.png: is not a PNG"):
        prepare_all(folder, tmp_path / "corpus", stop=True)
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == [".cells-partial"]
    (folder / "images" / "case02.png").write_bytes(intact)
    [prepared] = prepare_all(folder, tmp_path / "corpus", stop=True)
    assert prepared.reused == 2
    assert prepared.about["scans"] == {"found": 3, "used": 3}


@pytest.mark.parametrize("step", ["staging", "storing"])
def test_a_full_disk_keeps_finished_work(tmp_path, monkeypatch, step):
    folder = pictures(tmp_path / "cells", 4)
    written = []

    def full(*arguments):
        written.append(arguments)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    def fail(*_):
        raise RuntimeError("No space left on device")  # this is how array_record and tensorflow-datasets tell it

    write = store._write
    if step == "staging":
        monkeypatch.setattr(store, "_write", full)
    else:
        monkeypatch.setattr("universeg_jax.data.corpus.store.CorpusBuilder.store", fail)
    with pytest.raises(InputError, match=r"corpus: cannot be written \(.*No space left.*finished work is kept"):
        prepare_all(folder, tmp_path / "corpus")
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == [".cells-partial"]
    assert [path.name for path in (tmp_path / "corpus" / ".cells-partial").iterdir()] == ["items"]
    monkeypatch.undo()
    assert prepare_all(folder, tmp_path / "corpus")[0].reused == (1 if step == "staging" else 4)
    prepare_all(folder, tmp_path / "whole")
    assert_same(tmp_path / "corpus", tmp_path / "whole")


def test_an_outcome_that_was_cut_short_is_made_again(tmp_path):
    folder = pictures(tmp_path / "cells", 3)
    (folder / "images" / "case02.png").rename(tmp_path / "away.png")
    with pytest.raises(InputError):
        prepare_all(folder, tmp_path / "corpus", stop=True)
    (tmp_path / "away.png").rename(folder / "images" / "case02.png")
    first, *_ = (tmp_path / "corpus" / ".cells-partial" / "items").glob("*.json")
    first.write_bytes(b"")
    assert prepare_all(folder, tmp_path / "corpus")[0].about["scans"] == {"found": 3, "used": 3}


def test_nothing_is_overwritten(tmp_path):
    folder = pictures(tmp_path / "cells", 3)
    prepare_all(folder, tmp_path / "corpus")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus").rglob("*")}
    [again] = prepare_all(folder, tmp_path / "corpus")
    assert again.reused == 3
    with pytest.raises(InputError, match="is there already, made from other files or with other options"):
        prepare_all(folder, tmp_path / "corpus", subject_pattern=r"\d")
    save(folder / "masks" / "case00.png", np.eye(40, 60))
    with pytest.raises(InputError, match="is there already, made from other files"):
        prepare_all(folder, tmp_path / "corpus")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus").rglob("*")} == before


def test_what_is_in_the_way_stays(tmp_path):
    folder = pictures(tmp_path / "cells", 3)
    (tmp_path / "corpus" / "cells").mkdir(parents=True)
    (tmp_path / "corpus" / "cells" / "mine").touch()
    with pytest.raises(InputError, match="is in the way and holds no dataset"):
        prepare_all(folder, tmp_path / "corpus")
    assert (tmp_path / "corpus" / "cells" / "mine").exists()


def test_two_runs_never_prepare_one_dataset(tmp_path):
    folder, unfinished = pictures(tmp_path / "cells", 3), tmp_path / "corpus" / ".cells-partial"
    unfinished.mkdir(parents=True)
    handle = os.open(unfinished, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as another process
    with pytest.raises(InputError, match="cells-partial: another run is writing to it"):
        prepare_all(folder, tmp_path / "corpus")
    os.close(handle)


def stopped_at_the_last_picture(tmp_path):
    """Prepare three pictures of which the last is empty, and return their folder with the last one restored."""
    folder = pictures(tmp_path / "cells", 3)
    (folder / "images" / "case02.png").rename(tmp_path / "away.png")
    (folder / "images" / "case02.png").write_bytes(b"")
    with pytest.raises(InputError):
        prepare_all(folder, tmp_path / "corpus", stop=True)
    (tmp_path / "away.png").replace(folder / "images" / "case02.png")
    return folder


def test_other_content_under_the_same_size_and_time_is_done_again(tmp_path):
    folder = stopped_at_the_last_picture(tmp_path)
    file = folder / "images" / "case00.png"
    before, content = file.stat(), file.read_bytes()
    file.write_bytes(content.replace(b"IDAT", b"XDAT"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    with pytest.raises(InputError, match="case00"):  # it is read again, and is damaged
        prepare_all(folder, tmp_path / "corpus", stop=True)


def test_a_changed_file_is_done_again(tmp_path):
    folder = stopped_at_the_last_picture(tmp_path)
    os.utime(folder / "masks" / "case00.png", (0, 0))
    assert prepare_all(folder, tmp_path / "corpus")[0].reused == 1


def test_workers_change_nothing(tmp_path):
    npz(tmp_path / "source" / "a.npz", 7)
    npz(tmp_path / "source" / "b.npz", 3, ids=["p", "q", "q"])
    prepare_all(tmp_path / "source", tmp_path / "one")
    with Processes(2) as workers:
        for source in find_sources(tmp_path / "source"):
            prepare(source, tmp_path / "two", workers=workers, quiet=True)
    assert_same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: [file.write_bytes(b"") for file in (f / "images").iterdir()], "none of its 2 items can be used"),
        (lambda f: [save(file, np.zeros((40, 60))) for file in (f / "masks").iterdir()], "background .0. only"),
        (lambda f: (f / "classes.json").write_text('{"1": "a", "2": "a"}'), "two classes have one name: a, a"),
    ],
)
def test_what_makes_no_dataset_is_refused(tmp_path, change, message):
    folder = pictures(tmp_path / "cells", 2)
    change(folder)
    with pytest.raises(InputError, match=message):
        prepare_all(folder, tmp_path / "corpus")
    assert list((tmp_path / "corpus").iterdir()) == []


def test_jpeg_masks_are_noted(tmp_path):
    folder = pictures(tmp_path / "cells", 2, values=(255,))
    for file in list((folder / "masks").iterdir()):
        file.with_suffix(".jpg").write_bytes(file.read_bytes())
        Image.open(file).save(file.with_suffix(".jpg"), quality=95)
        file.unlink()
    [prepared] = prepare_all(folder, tmp_path / "corpus")
    assert "masks: JPEG masks, cut at 128 into 0 and 255 (2 times)" in prepared.about["warnings"]
