"""Damaged and hostile corpora end in one error that names the dataset."""

import json
import os
import shutil

import numpy as np
import pytest

from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import npz
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("corpus")
    npz(place / "disks.npz", 6)
    prepare_all(place / "disks.npz", place / "whole")
    return place / "whole"


def about(**changes):
    def change(dataset):
        file = dataset / "dataset.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def text(content):
    return lambda dataset: (dataset / "dataset.json").write_text(content)


def index(**columns):
    def change(dataset):
        with np.load(dataset / "index.npz") as stored:
            arrays = dict(stored)
        for name, column in columns.items():
            arrays.pop(name)
            if column is not None:
                arrays[name] = column
        np.savez(dataset / "index.npz", **arrays)

    return change


def stored(pattern, change):
    def apply(dataset):
        [file, *_] = sorted((dataset / "128").rglob(pattern))
        content = file.read_bytes()
        file.unlink()
        if change == "pipe":
            os.mkfifo(file)
        elif change is not None:
            file.write_bytes(change(content))

    return apply


def flip(content):
    return bytes(255 - byte if 100 < i < 2000 else byte for i, byte in enumerate(content))


DAMAGE = {
    "records cut": stored("*.array_record*", lambda content: content[: len(content) // 2]),
    "records flipped": stored("*.array_record*", flip),
    "records emptied": stored("*.array_record*", lambda content: b""),
    "records missing": stored("*.array_record*", None),
    "records a pipe": stored("*.array_record*", "pipe"),
    "features cut": stored("features.json", lambda content: content[:50]),
    "features missing": stored("features.json", None),
    "info emptied": stored("dataset_info.json", lambda content: b"{}"),
    "resolution missing": lambda dataset: shutil.rmtree(dataset / "128"),
    "about {}": text("{}"),
    "about []": text("[]"),
    "about nested": text("[" * 100_000),
    "about repeated": text('{"classes": ["a"], "classes": ["b"]}'),
    "classes 5": about(classes=5),
    "classes [5]": about(classes=[5]),
    "classes twice": about(classes=["disk", "disk"]),
    "more classes": about(classes=["disk", "other"]),
    "resolutions text": about(resolutions="128"),
    "index emptied": lambda dataset: (dataset / "index.npz").write_bytes(b""),
    "index without a column": index(shown=None),
    "index of another length": index(area=np.zeros((3, 1))),
    "index with NaN": index(area=np.full((6, 1), np.nan)),
    "index of objects": index(subject=np.array([{}] * 6)),
    "index of no dimension": index(shown=np.array(True)),
}


def read_all(folder):
    corpus = Corpus(folder)
    for task in corpus.tasks:
        for example in corpus.examples(task):
            corpus.read(task, example.image)


def test_a_whole_corpus_is_read(whole):
    read_all(whole)


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_error_that_names_the_dataset(whole, tmp_path, kind):
    shutil.copytree(whole, tmp_path / "corpus")
    DAMAGE[kind](tmp_path / "corpus" / "disks")
    with pytest.raises(InputError) as caught:
        read_all(tmp_path / "corpus")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'corpus' / 'disks'}/")
    assert "pipe" in kind or message.endswith("; remove the dataset and prepare it again")
    assert "\n" not in message
