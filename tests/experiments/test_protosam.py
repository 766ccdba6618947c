import jax.numpy as jnp
import pytest

from experiments.protosam.__main__ import known_columns
from experiments.protosam.measure import Contender, RememberingSAM, draws, measure, subject
from experiments.protosam.report import write_table
from tests.helpers.array_corpus import ArrayCorpus, examples
from tests.helpers.painting_sam import PaintingSAM
from universeg_jax.data.corpus.read import CorpusTask, Example

SKIN = CorpusTask("skin", "image", "2d", "1")
LIVER = CorpusTask("sa_ct_liver", "image", "2d", "1")


class Upper:
    """A model that finds the lower half of images, as in the corpus, and counts the examples shown."""

    input_size, input_channels, padding = 4, 1, "zeros"

    def __init__(self):
        self.shown = []

    def prepare(self, images, labels, mask):
        self.shown.append(int(mask[0].sum()))
        rows = jnp.arange(4)[:, None, None] >= 2
        return lambda targets, regions: jnp.where(rows, 5.0, -5.0) + 0 * targets[None]


def test_draws_share_no_image_between_support_and_targets():
    corpus = ArrayCorpus({SKIN: examples(40)})
    made = list(draws(corpus, SKIN, number=3, targets=6, more=15))
    assert made == list(draws(corpus, SKIN, number=3, targets=6, more=15))
    assert len({draw.support.image for draw in made}) == 3
    for draw in made:
        assert len(draw.targets) == 6
        images = [example.image for example in (draw.support, *draw.more, *draw.targets)]
        assert len(set(images)) == len(images) == 1 + 15 + 6


def test_targets_are_drawn_anew_out_of_more_images():
    corpus = ArrayCorpus({SKIN: examples(40)})
    options = {"number": 8, "targets": 6, "more": 0, "among": 20}
    made = list(draws(corpus, SKIN, **options))
    assert made == list(draws(corpus, SKIN, **options))
    targets = [frozenset(example.image for example in draw.targets) for draw in made]
    assert all(draw.support.image not in own and len(own) == 6 for draw, own in zip(made, targets, strict=True))
    assert len(set(targets)) == 8
    assert len({draw.support.image for draw in made}.union(*targets)) <= 20


@pytest.mark.parametrize(("volumes", "slices"), [(1, 4), (6, 8)])
def test_slices_of_one_volume_are_not_both_support_and_target(volumes, slices):
    examples = [Example(i, f"{i // 4}_{i}", "train", 0.1) for i in range(12)]
    for draw in draws(ArrayCorpus({LIVER: examples}), LIVER, number=3, targets=volumes, more=15):
        assert len(draw.targets) == slices
        assert subject(LIVER, draw.support) not in {subject(LIVER, target) for target in draw.targets}


@pytest.mark.parametrize(("number", "shown"), [(40, [16]), (5, [4] * 4)])
def test_several_examples_are_never_the_target(number, shown):
    corpus, model = ArrayCorpus({SKIN: examples(number)}), Upper()
    (draw,) = draws(corpus, SKIN, number=1, targets=4, more=15)
    found = measure(corpus, SKIN, [draw], Contender("several", model, 16))
    assert model.shown == shown
    assert found["dice"] == 1
    assert found["dice of volumes"] is None
    assert measure(corpus, SKIN, [draw], Contender("one", model, 1))["dice"] == 1
    assert model.shown[-1] == 1


def test_no_image_is_encoded_twice():
    painting = PaintingSAM()
    sam = RememberingSAM(painting)
    images = jnp.stack([jnp.full((32, 32, 3), level) for level in (0.1, 0.2, 0.1)])
    features = sam.encode(images)
    assert features.early.shape[0] == 3
    assert painting.encoded == [1, 1]
    sam.forget()
    sam.encode(images[:1])
    assert painting.encoded == [1, 1, 1]


def test_the_table_marks_the_best(tmp_path):
    def score(value, volumes=None):
        return {"dice": value, "spread over draws": 0.01, "dice of volumes": volumes}

    results = {
        "command": "python -m experiments.protosam",
        "targets": 6,
        "draws": 4,
        "resolution": 128,
        "contenders": {"a": {}, "b": {}},
        "corpora": {"heldout": {"skin, 1": {"a": score(0.5, 0.4), "b": score(0.75, 0.6)}}},
    }
    write_table(tmp_path / "t.md", results)
    text = (tmp_path / "t.md").read_text()
    assert "| skin, 1 | 0.500 (0.010) | **0.750** (0.010) |" in text
    assert "| … its volumes | 0.400 | 0.600 |" in text
    assert "| **mean of 1 tasks** | 0.500 | 0.750 |" in text


def test_columns_of_other_weights_or_configurations_are_measured_anew():
    before = {name: {"weights": "open-v0", "configuration": "C()"} for name in ("same", "trained on", "configured")}
    now = {
        "same": before["same"],
        "trained on": {"weights": "open-v1", "configuration": "C()"},
        "configured": {"weights": "open-v0", "configuration": "C(1)"},
        "new": before["same"],
    }
    done = {"contenders": before, "corpora": {"heldout": {"skin, 1": {name: {"dice": 0.5} for name in before}}}}
    assert known_columns(done, now) == {"heldout": {"skin, 1": {"same": {"dice": 0.5}}}}
    assert known_columns(done, {}) == {"heldout": {"skin, 1": {}}}


def test_names_tell_subjects_apart():
    mirrored, eye = CorpusTask("sa_liver_tumor", "image", "2d", "1"), CorpusTask("chasedb1_vessel", "image", "2d", "1")
    of = {name: Example(0, name, "train", 0.1) for name in ("flipped_10001_103", "mirrored_10001_92", "Image_01L")}
    assert subject(mirrored, of["flipped_10001_103"]) == subject(mirrored, of["mirrored_10001_92"]) == "10001"
    assert subject(eye, of["Image_01L"]) == "01"
    assert subject(SKIN, of["Image_01L"]) == "Image_01L"
