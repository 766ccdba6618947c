"""Recognition of layouts, names and subjects; foreign annotations are named with the command that converts."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from tests.helpers import make_sources
from tests.helpers.make_sources import pictures
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.errors import InputError

LAYOUTS = {
    "images": lambda folder: make_sources.pictures(folder, 2),
    "npz": lambda folder: make_sources.npz(folder / "set.npz", 2),
    "nifti": lambda folder: make_sources.nifti_pairs(folder, 1, modality={"0": "CT"}),
    "decathlon": lambda folder: make_sources.nifti_pairs(folder / "Task02_Heart", 1, modality={"0": "CT"}),
    "dicom": lambda folder: [
        make_sources.dicom_series(folder / kind / "p1", np.zeros((4, 4, 2), int)) for kind in ("images", "masks")
    ],
    "wbc": make_sources.wbc,
    "acdc": make_sources.acdc,
    "hc18": make_sources.hc18,
    "bbbc038": make_sources.bbbc038,
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_layout_is_recognised_from_the_files(tmp_path, kind):
    LAYOUTS[kind](tmp_path)
    assert {source.kind for source in find_sources(tmp_path)} == {kind}


def test_names_are_safe(tmp_path):
    make_sources.npz(tmp_path / "My set (v2)é.npz", 2)
    assert [source.name for source in find_sources(tmp_path)] == ["my_set_v2"]


def test_the_commit_of_a_clone_is_its_version(tmp_path):
    make_sources.wbc(tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    assert {len(source.version) for source in find_sources(tmp_path)} == {40}


@pytest.mark.parametrize(("pattern", "subject"), [(r"case\d", "case0"), (r"case(\d)", "0")])
def test_subjects_are_found_in_names(tmp_path, pattern, subject):
    [source] = find_sources(make_sources.pictures(tmp_path, 3), subject_pattern=pattern)
    assert {item.subject for item in source.items} == {subject}
    assert source.subjects_known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subject_pattern": "patient"}, "does not match 'case00'"),
        ({"subject_pattern": "("}, "is not a regular expression"),
        ({"kind": "wbc"}, "holds nothing to prepare as wbc"),
        ({"kind": "nifty"}, "kind='nifty': pass one of acdc, "),
        ({"kind": "nifti"}, "needs NIfTI volumes"),
        ({"kind": "npz"}, "holds nothing to prepare as npz"),
    ],
)
def test_bad_options_are_refused(tmp_path, options, message):
    make_sources.pictures(tmp_path, 2)
    with pytest.raises(InputError, match=message):
        find_sources(tmp_path, **options)


def test_images_without_masks_are_refused(tmp_path):
    shutil.rmtree(make_sources.pictures(tmp_path, 2) / "masks")
    with pytest.raises(InputError, match="must hold the folders images/ and masks/"):
        find_sources(tmp_path)


def test_unknown_layouts_are_refused(tmp_path):
    with pytest.raises(InputError, match="its layout is unknown"):
        find_sources(tmp_path)
    for name in ("first", "second"):
        make_sources.pictures(tmp_path / name, 1)
    with pytest.raises(InputError, match="prepare the datasets in it one by one: first, second"):
        find_sources(tmp_path)
    with pytest.raises(InputError, match="there is no such file or folder"):
        find_sources(tmp_path / "gone")
    (tmp_path / "file.txt").touch()
    with pytest.raises(InputError, match="its layout is unknown"):
        find_sources(tmp_path / "file.txt")


LABELME = {"version": "5.4", "shapes": [{"label": "cell", "points": [[1, 2], [3, 4]]}], "imagePath": "a.png"}
COCO = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cell"}]}


@pytest.mark.parametrize(
    ("about", "message"),
    [(LABELME, "holds LabelMe polygons.*labelme2voc"), (COCO, "holds COCO annotations.*annToMask")],
)
@pytest.mark.parametrize("place", [".", "annotations", "images"])
def test_foreign_annotations_are_named_with_the_way_out(tmp_path, about, message, place):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "a.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=rf"a\.json: {message}"):
        find_sources(tmp_path)


def test_other_json_files_do_no_harm(tmp_path):
    folder = pictures(tmp_path, 1)
    (folder / "notes.json").write_text("[]")
    (folder / "broken.json").write_text("{")
    (folder / "classes.json").write_text('{"1": "cell"}')
    assert [source.kind for source in find_sources(folder)] == ["images"]
