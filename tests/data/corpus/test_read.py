import numpy as np
import pytest

from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import npz, pictures
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus of ten images with two classes, the second of which half of them lack."""
    place = tmp_path_factory.mktemp("corpus")
    npz(place / "source" / "disks.npz", 10)
    with np.load(place / "source" / "disks.npz") as stored:
        arrays = dict(stored)
    arrays["labels"][:5, 20:24, 2:6] = 2
    arrays["labels"][0, :8] = 2
    np.savez(place / "source" / "disks.npz", **arrays)
    prepare_all(place / "source", place / "corpus")
    prepare_all(pictures(place / "cells", 3), place / "corpus")
    return place / "corpus"


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_read_gives_what_was_stored(folder, resolution):
    corpus = Corpus(folder, resolution=resolution)
    assert corpus.datasets == ("cells", "disks")
    task = CorpusTask("disks", "image", "2d", "disk")
    assert task in corpus.tasks
    for example in corpus.examples(task):
        image, label = corpus.read(task, example.image)
        assert image.shape == label.shape == (resolution, resolution, 1)
        assert image.dtype == label.dtype == np.float32
        assert (image.min(), image.max()) == pytest.approx((0, 1), abs=0.1)
        assert label.mean() == pytest.approx(example.area, abs=5e-3)
        assert image[label > 0.9].mean() > image[label < 0.1].mean() + 0.4
        assert corpus.source("disks")[example.image]["subject"].decode() == example.subject


def test_names(folder):
    corpus = Corpus(folder)
    names = [task.name for task in corpus.tasks]
    assert names == ["cells/image/2d/1", "cells/image/2d/2", "disks/image/2d/2", "disks/image/2d/disk"]


def test_examples_by_split_and_area(folder):
    corpus, task = Corpus(folder), CorpusTask("disks", "image", "2d", "2")
    everything = corpus.examples(task)
    assert len(everything) == 10
    assert sum(example.area > 0 for example in everything) == 5
    assert sum(len(corpus.examples(task, split)) for split in ("train", "validation", "test")) == 10
    assert {example.split for example in corpus.examples(task, "test")} == {"test"}
    largest = corpus.examples(task, minimum_area=0.1)
    assert [example.subject for example in largest] == ["p0"]


def test_resolutions_hold_the_same_images_in_the_same_order(folder):
    names = [[image["name"] for image in Corpus(folder, resolution=r).source("disks")] for r in (64, 128, 256)]
    assert names[0] == names[1] == names[2]
    assert len(set(names[0])) == 10


def test_what_is_not_there_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        Corpus(tmp_path / "gone")
    with pytest.raises(InputError, match="holds no prepared datasets"):
        Corpus(tmp_path)
    with pytest.raises(InputError, match=r"resolution=100: .* is stored at \[64, 128, 256\]"):
        Corpus(folder, resolution=100)
    with pytest.raises(InputError, match="holds no task disks/CT/2d/disk"):
        Corpus(folder).examples(CorpusTask("disks", "CT", "2d", "disk"))


@pytest.mark.parametrize("file", ["dataset.json", "index.npz"])
def test_damage_is_reported(tmp_path, file):
    npz(tmp_path / "a.npz", 3)
    prepare_all(tmp_path / "a.npz", tmp_path / "corpus")
    (tmp_path / "corpus" / "a" / file).write_bytes(b"{")
    with pytest.raises(InputError, match=f"{file}: (cannot be read|is damaged)"):
        Corpus(tmp_path / "corpus")
