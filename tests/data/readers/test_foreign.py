"""Annotations that are not read: named, with the command that converts."""

import json

import pytest

from tests.helpers.make_sources import pictures
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.errors import InputError

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
