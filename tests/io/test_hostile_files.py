"""Pipes, links in circles and names that cannot be written are refused before anything is computed."""

import json
import os
import time

import pytest

from tests.helpers.stand_in import write_task
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import find_targets, read_class_names, read_support
from universeg_jax.io.volume_files import read_volume
from universeg_jax.io.volume_folder import find_volumes, open_volume_folder


@pytest.fixture
def task(tmp_path):
    write_task(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", ["support/images/s0.png", "support/masks/s1.png", "support/classes.json"])
def test_pipes_are_refused_at_once(task, file):
    (task / file).unlink(missing_ok=True)
    os.mkfifo(task / file)
    began = time.monotonic()
    with pytest.raises(InputError, match=rf"{os.path.basename(file)}: is a pipe; pass a regular file"):
        read_support(task / "support")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.dcm", "series/1.dcm"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_no_volume_is_left_out_because_it_is_a_pipe_or_a_link_to_nothing(tmp_path, name, kind):
    (tmp_path / "series").mkdir()
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("gone")
    with pytest.raises(InputError, match=rf"{name}: (is a pipe|cannot be read: No such file)"):
        find_volumes(tmp_path)


HEADERS = {
    "a.mhd": "NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = {}\n",
    "b.mhd": "NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = LIST\n{}\n",
    "a.nhdr": "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: {}\n",
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("absolute", [False, True])
def test_headers_that_name_a_pipe_are_refused(tmp_path, header, absolute):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / header).write_text(HEADERS[header].format(tmp_path / "pipe" if absolute else "pipe"))
    with pytest.raises(InputError, match="pipe: is a pipe"):
        read_volume(tmp_path / header)


@pytest.mark.parametrize("name", [b"\xff.png", b"a\x1b[31m.png", b"a\n.png"])
def test_names_that_cannot_be_written_are_refused(task, name):
    with open(os.fsencode(task / "images") + b"/" + name, "wb") as file:
        file.write((task / "images" / "t0.png").read_bytes())
    with pytest.raises(
        InputError, match=r"images: the file name .* (is not text in this locale|holds control)"
    ) as caught:
        find_targets(task / "images")
    assert str(caught.value).isprintable()


def test_names_of_other_languages_are_read(task):
    (task / "images" / "t0.png").rename(task / "images" / "Größe 中.png")
    assert [target.name for target in find_targets(task / "images")] == ["Größe 中", "t1", "t2"]


@pytest.mark.parametrize("file", ["classes.json", "dataset.json"])
def test_keys_that_only_look_like_numbers_name_no_class(tmp_path, file):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    names = {"1": "liver", "²": "spleen", "9" * 5000: "none"}
    (tmp_path / file).write_text(json.dumps(names if file == "classes.json" else {"labels": names}))
    assert open_volume_folder(tmp_path).class_names == {1: "liver"}


def test_a_link_in_a_circle_is_not_taken_for_no_file(tmp_path):
    (tmp_path / "classes.json").symlink_to(tmp_path / "classes.json")
    with pytest.raises(InputError, match=r"classes\.json: cannot be read: Too many levels of symbolic links"):
        read_class_names(tmp_path / "classes.json")
    assert read_class_names(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"1": "%s"}' % ("n" * 10**6), "has 1000000 characters"),
        ('{"1": "\\u001b[31m"}', "holds control characters"),
        ('{"1": "\\ud800"}', "is not Unicode text"),
        ("[" * 100_000, "nested deeper"),
        ('{"1": "a", "1": "b"}', "the key '1' occurs twice"),
    ],
)
def test_hostile_names_of_classes_are_refused_in_a_short_line(tmp_path, content, problem):
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_class_names(tmp_path / "classes.json")
    assert len(str(caught.value)) < 300
