import dataclasses
import json

import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.stand_in import bright_disc, save
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import read_support
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.support import Support
from universeg_jax.train.config import Stage
from universeg_jax.train.finetune.examples import FEWEST, LEAST, ExampleData, Split, split_examples
from universeg_jax.train.finetune.run import FineTuning, FineTuningRun, licence_of
from universeg_jax.weights import WeightsError
from universeg_jax.weights import save as save_weights

SMALL = UniverSegConfig(((4, 4), (4, 4)), input_size=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of small random weights under a licence."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    save_weights(UniverSeg(SMALL, rngs=nnx.Rngs(0)), folder, provenance={"licence": "research use only"})
    return folder


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Ten labelled images of bright discs."""
    folder = tmp_path_factory.mktemp("tasks") / "discs"
    for i in range(10):
        image, mask = bright_disc(i)
        save(folder / "images" / f"{i}.png", image)
        save(folder / "masks" / f"{i}.png", mask)
    return read_support(folder)


def support(shown) -> Support:
    """Examples of which each pixel of image i is i/100, with labels as `shown` (P,S) says."""
    shown = np.array(shown, bool)
    images = np.broadcast_to(np.arange(shown.shape[1])[:, None, None, None] / 100, (shown.shape[1], 4, 4, 1))
    labels = np.broadcast_to(shown[..., None, None, None], (*shown.shape, 4, 4, 1))
    return Support(images.astype(np.float32), labels.astype(np.float32), shown)


def parts_of(split: Split) -> dict[str, tuple[int, ...]]:
    return {part: indices for part, indices in dataclasses.asdict(split).items() if indices}


@settings(deadline=None, max_examples=50)
@given(subjects=st.integers(FEWEST, 30), images=st.integers(1, 3), rare=st.integers(4, 30), seed=st.integers(0, 99))
def test_every_part_shows_every_class_and_subjects_stay_together(subjects, images, rare, seed):
    names = [f"s{i % subjects}" for i in range(subjects * images)]
    shown = np.array([[True] * len(names), [i % subjects < rare for i in range(len(names))]])
    split = split_examples(shown, names, classes=["a", "b"], seed=seed)
    assert split == split_examples(shown, names, classes=["a", "b"], seed=seed)
    parts = parts_of(split)
    assert sorted(i for indices in parts.values() for i in indices) == list(range(len(names)))
    assert ("test" in parts) == (subjects >= 10)
    of_parts = {part: {names[i] for i in indices} for part, indices in parts.items()}
    assert sum(map(len, of_parts.values())) == subjects
    for part, indices in parts.items():
        for row in shown:
            assert len({names[i] for i in indices if row[i]}) >= LEAST[part]
    assert len(of_parts["train"]) >= max(len(s) for s in of_parts.values())


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ([[1] * 4], "4 labelled examples of different subjects: fine-tuning needs 5 or more"),
        ([[1] * 9, [0] * 9], "the class b is shown by 0 of 9 examples of different subjects: fine-tuning needs 3"),
        ([[1] * 9, [1, 1] + [0] * 7], "the class b is shown by 2 of 9"),
    ],
)
def test_too_few_examples_are_refused_by_name(shown, message):
    with pytest.raises(InputError, match=message):
        split_examples(np.array(shown, bool), list("abcdefghi"[: len(shown[0])]), classes=["a", "b"])


def test_a_class_in_few_examples_leaves_none_to_measure_on():
    shown = np.array([[1] * 12, [1] * 3 + [0] * 9], bool)
    split = split_examples(shown, list("abcdefghijkl"), classes=["a", "b"])
    assert split.test == ()
    assert split.measured == split.validation


def test_episodes_keep_to_the_parts_and_classes_they_are_of():
    # Two of several classes: the second is shown by the even images.
    examples = support([[1] * 12, [1, 0] * 6, [0, 1] * 6])
    tasks = [CorpusTask("t", "image", "2d", name) for name in "abc"]
    subjects = [f"s{i // 2}" for i in range(12)]
    split = Split((0, 1, 2, 3, 4, 5), (6, 7, 8), (9, 10, 11))
    data = ExampleData(examples, tasks, subjects, split, seed=0)
    stage = Stage(size=4, steps=1, batch_size=2, support_size=(2, 3), learning_rate=1.0)
    source = data.source(stage)
    targets = {k: set() for k in range(3)}
    for number in range(90):
        episode = source[number]
        task = int(episode.task)
        (target,) = np.unique(np.round(100 * episode.target)).astype(int)
        targets[task].add(target)
        present = np.round(100 * episode.support_images[episode.support_mask, 0, 0, 0]).astype(int)
        assert 2 <= len(present) <= 3
        assert set(present) <= set(split.train)
        assert subjects[target] not in {subjects[i] for i in present}
        assert examples.shown[task, present].all()
        assert (episode.target_label == examples.shown[task, target]).all()
    assert targets[0] == set(split.train)
    assert {0, 2, 4} < targets[1] < set(split.train)  # and some that have nothing to find
    validation = data.validation_episodes(stage)
    assert [task.label for task in validation] == list("abc")
    for task, episodes in zip(range(3), validation.values(), strict=True):
        found = [int(np.round(100 * e.target[0, 0, 0])) for e in episodes]
        showing = [i for i in split.validation if examples.shown[task, i]]
        assert sorted(found) == sorted(showing * (len(found) // len(showing)))
        assert len(found) >= 8
        assert {int(np.round(100 * i[0, 0, 0])) for e in episodes for i in e.support_images} <= set(split.train)


def test_images_are_prepared_as_the_segmenter_does(discs, weights):
    run = FineTuningRun(discs, FineTuning(weights=str(weights), size=8))
    model = UniverSeg(dataclasses.replace(SMALL, input_size=8), rngs=nnx.Rngs(0))
    task = Segmenter(model).fit(discs.images, discs.labels)
    batch = next(run.data.batches(run.config.stages[0], start=0))
    target = next(i for i, view in enumerate(task.views) if np.array_equal(view.pixels, batch.target[0]))
    np.testing.assert_array_equal(batch.target_label[0], task.support.labels[0, target])
    assert target in run.split.train


def test_a_run_of_something_else_is_refused_and_kept(discs, weights, tmp_path):
    run = FineTuningRun(discs, FineTuning(weights=str(weights), size=8))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and holds no run of this command"):
        run.train(tmp_path, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "finetune.json").write_text(json.dumps({"seed": 7}))
    with pytest.raises(InputError, match="seed was 7, is 0"):
        run.train(other)
    assert [path.name for path in other.iterdir()] == ["finetune.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 9}, "size=9: pass a multiple of 2"),
        ({"steps": 0}, "Stage.steps=0: pass a whole number at least 1"),
        ({"patience": 0}, "patience=0: pass"),
        ({"support_size": 0}, "support_size=.*: pass"),
    ],
)
def test_options_out_of_range_are_refused(discs, weights, options, message):
    with pytest.raises(InputError, match=message):
        FineTuningRun(discs, FineTuning(weights=str(weights), **options))


def test_what_the_weights_tell_of_their_origin_holds_no_names_of_files(discs, weights):
    provenance = FineTuningRun(discs, FineTuning(weights=str(weights))).provenance
    assert provenance["source"] == "fine-tuned from small on 10 examples"
    assert provenance["licence"] == "research use only"
    assert provenance["examples"] == {"train": 6, "validation": 2, "test": 2}
    assert str(weights.parent) not in json.dumps(provenance)


def test_licences_are_those_of_the_original(weights, tmp_path):
    assert licence_of("open-v4") == "research use only"
    assert licence_of("universeg-v1").startswith("OpenRAIL++-M")
    assert licence_of(str(weights)) == "research use only"
    assert licence_of(str(tmp_path)) is None
    (tmp_path / "universeg.json").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        licence_of(str(tmp_path))
