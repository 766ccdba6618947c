from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.array_corpus import SIZE, ArrayCorpus, examples, small_corpus
from universeg_jax.data.corpus.read import CorpusTask, Example
from universeg_jax.data.episodes.draw import NUMBER, Episodes
from universeg_jax.errors import InputError

ORGAN = CorpusTask("organs", "CT", "axial", "liver")
numbers = st.integers(0, NUMBER - 1)


@st.composite
def corpora(draw):
    """Tasks of examples with any split and subject, two subjects in train at least."""
    tasks = {}
    for i in range(draw(st.integers(1, 4))):
        rows = draw(
            st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["train", "validation", "test"])), max_size=20)
        )
        rows += [(100, "train"), (101, "train"), (102, "validation"), (103, "test")]
        task = CorpusTask(f"d{i % 2}", "MR", "axial", f"label{i}")
        tasks[task] = [Example(k, f"s{subject}", split, 0.1) for k, (subject, split) in enumerate(rows)]
    return ArrayCorpus(tasks)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    corpora(),
    numbers,
    st.integers(),
    st.tuples(st.integers(1, 6), st.integers(0, 6)),
    st.sampled_from(["train", "validation", "test", None]),
    st.booleans(),
)
def test_every_episode(corpus, number, seed, sizes, split, same_subject):
    low, high = sizes[0], sizes[0] + sizes[1]
    options = {"support_size": (low, high), "split": split, "same_subject": same_subject}
    source = Episodes(corpus, seed=seed, **options)
    draw, episode = source.draw(number), source[number]

    assert low <= len(draw.support) <= high
    assert draw.target in corpus.examples(draw.task, split)
    assert set(draw.support) <= set(corpus.examples(draw.task, "train"))
    assert draw.target not in draw.support
    if not same_subject:
        assert draw.target.subject not in {example.subject for example in draw.support}
    assert draw == Episodes(corpus, seed=seed, **options).draw(number)

    support = [example.image for example in draw.support]
    assert source.tasks[episode.task] == draw.task
    assert episode.number == number
    assert episode.target.shape == episode.target_label.shape == (SIZE, SIZE, 1)
    assert episode.support_images.shape == episode.support_labels.shape == (high, SIZE, SIZE, 1)
    np.testing.assert_array_equal(episode.support_mask, [True] * len(support) + [False] * (high - len(support)))
    np.testing.assert_allclose(episode.target, draw.target.image / 1000)
    np.testing.assert_allclose(episode.support_images[: len(support), 0, 0, 0] * 1000, support, rtol=1e-5)
    np.testing.assert_array_equal(episode.support_labels[: len(support)], [corpus.read(ORGAN, 0)[1]] * len(support))
    assert not episode.support_images[len(support) :].any()
    assert not episode.support_labels[len(support) :].any()


def test_episodes_of_all_splits():
    corpus = small_corpus()
    source = Episodes(corpus, seed=0, support_size=3, split=None, support_split=None)
    draws = [source.draw(number) for number in range(500)]
    everything = {example for task in corpus.tasks for example in corpus.examples(task)}
    assert {draw.target for draw in draws} == {example for draw in draws for example in draw.support} == everything
    assert not any(draw.target.subject in {example.subject for example in draw.support} for draw in draws)


def test_all_levels_are_sampled_uniformly():
    source = Episodes(small_corpus(), seed=0, support_size=1)
    drawn = [source.draw(number).task for number in range(3 * 2 * 2 * 3)]
    assert Counter(task.dataset for task in drawn) == {"brain": 12, "heart": 12, "skin": 12}
    assert Counter(task.modality for task in drawn if task.dataset == "heart") == {"CT": 6, "MR": 6}
    assert Counter(task.axis for task in drawn if task.modality == "MR" and task.dataset == "heart") == {
        "axial": 3,
        "sagittal": 3,
    }
    assert Counter(task.label for task in drawn if task.dataset == "skin") == {"1": 4, "2": 4, "3": 4}


def test_tasks_are_mixed_in_an_order_that_changes():
    source = Episodes(small_corpus(), seed=0, support_size=1)
    rounds = [tuple(source.draw(3 * i + k).task.dataset for k in range(3)) for i in range(50)]
    assert all(len(set(datasets)) == 3 for datasets in rounds)
    assert len(set(rounds)) == 6


def test_targets_are_drawn_without_replacement():
    source = Episodes(ArrayCorpus({ORGAN: examples(7)}), seed=1, support_size=1)
    epochs = [tuple(source.draw(7 * i + k).target.image for k in range(7)) for i in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(epochs)) == 4


def test_support_is_drawn_with_replacement_and_uniformly():
    source = Episodes(ArrayCorpus({ORGAN: examples(5)}), seed=1, support_size=8)
    images = Counter(example.image for number in range(500) for example in source.draw(number).support)
    assert set(images) == set(range(5))
    assert all(abs(count - 800) < 120 for count in images.values())  # 800 expected, standard deviation 25


def test_support_sizes_are_all_drawn():
    source = Episodes(ArrayCorpus({ORGAN: examples(5)}), seed=1, support_size=(2, 5))
    sizes = Counter(len(source.draw(number).support) for number in range(400))
    assert set(sizes) == {2, 3, 4, 5}
    assert all(abs(count - 100) < 40 for count in sizes.values())


def test_seeds_differ():
    corpus = small_corpus()
    drawn = {tuple(Episodes(corpus, seed=seed).draw(number) for number in range(5)) for seed in (-1, 0, 1, 2**70)}
    assert len(drawn) == 4


def test_the_support_size_does_not_change_the_targets():
    corpus = small_corpus()
    one, other = (Episodes(corpus, seed=3, support_size=size) for size in (1, (1, 9)))
    assert [one.draw(n).target for n in range(20)] == [other.draw(n).target for n in range(20)]


def test_other_images_of_the_subject():
    corpus = ArrayCorpus({ORGAN: examples(4, per_subject=2)})
    for same_subject, neighbours in ((False, 0), (True, 1)):
        source = Episodes(corpus, seed=0, support_size=64, same_subject=same_subject)
        for number in range(8):
            draw = source.draw(number)
            shared = {example.image for example in draw.support if example.subject == draw.target.subject}
            assert len(shared) == neighbours
            assert draw.target.image not in shared


def test_small_areas_are_left_out():
    rows = examples(3, area=0.2) + [Example(10 + i, f"small{i}", "train", 0.05) for i in range(3)]
    source = Episodes(ArrayCorpus({ORGAN: rows}), seed=0, support_size=16, minimum_area=0.1)
    drawn = [source.draw(number) for number in range(10)]
    assert {example.image for draw in drawn for example in (draw.target, *draw.support)} == {0, 1, 2}


def test_tasks_with_too_few_examples_are_left_out_and_reported():
    lonely, empty = CorpusTask("organs", "CT", "axial", "spleen"), CorpusTask("organs", "CT", "axial", "lung")
    corpus = ArrayCorpus({ORGAN: examples(4), lonely: examples(3, per_subject=3), empty: examples(0, 0, 4)})
    source = Episodes(corpus, seed=0)
    assert source.tasks == (ORGAN,)
    assert source.left_out == {
        lonely: "a target in train has 0 examples in train to be its support",
        empty: "no targets in train",
    }
    with pytest.raises(InputError, match=r"none of 3 tasks .* 4 or more examples .*; organs/CT/axial/liver: .* has 3 "):
        Episodes(corpus, seed=0, tasks=[ORGAN, lonely, empty], minimum_support=4)


def test_binarised_labels():
    source = Episodes(small_corpus(), seed=0, support_size=(1, 3), label_threshold=0.5)
    expected = np.zeros((SIZE, SIZE, 1), np.float32)
    expected[SIZE // 2 :] = 1
    np.testing.assert_array_equal(source[0].target_label, expected)
    np.testing.assert_array_equal(source[0].support_labels[0], expected)
    assert source[0].target_label.dtype == np.float32


class PartsCorpus(ArrayCorpus):
    """Label k of the small corpus covers row k, softly."""

    def read(self, task, image):
        pixels, label = super().read(task, image)
        label = np.zeros_like(label)
        label[int(task.label)] = 0.75
        return pixels, label


def test_labels_are_joined_by_others_of_their_dataset():
    parts = {task: small_corpus().examples(task) for task in small_corpus().tasks}
    source = Episodes(PartsCorpus(parts), seed=0, support_size=(1, 3), unions=0.5)
    joined = Counter()
    for number in range(600):
        draw = source.draw(number)
        if draw.task.dataset != "skin":
            assert draw.joined == ()  # of their modality and axis the others have one label
        else:
            joined[len(draw.joined)] += 1
            assert set(draw.joined) <= {task for task in source.tasks if task.dataset == "skin"} - {draw.task}
    assert joined.total() == 200
    assert abs(joined[0] - 125) < 25  # half are not asked for, a quarter of the others draw none: 125, deviation 7
    assert abs(joined[1] - 50) < 25
    assert abs(joined[2] - 25) < 20


def test_joined_labels_are_sums():
    parts = {task: small_corpus().examples(task) for task in small_corpus().tasks}
    alone, source = (Episodes(PartsCorpus(parts), seed=0, support_size=2, unions=share) for share in (0.0, 1.0))
    number = next(n for n in range(100) if len(source.draw(n).joined) == 1)
    draw, plain, episode = source.draw(number), alone[number], source[number]
    (other,) = draw.joined
    rows = sorted([int(draw.task.label), int(other.label)])
    for label in (episode.target_label, *episode.support_labels):
        np.testing.assert_array_equal(np.flatnonzero(label.any(axis=(1, 2))), rows)
        assert label.max() == 0.75
    np.testing.assert_array_equal(episode.target, plain.target)  # the same images, joined or not
    np.testing.assert_array_equal(episode.support_images, plain.support_images)


def test_joined_labels_stay_in_range():
    source = Episodes(small_corpus(), seed=0, support_size=1, unions=1.0)
    number = next(n for n in range(100) if source.draw(n).joined)
    assert source[number].target_label.max() == 1.0


def test_held_out_datasets_are_refused_in_training_only():
    tasks = [CorpusTask(name, "MR", "axial", "1") for name in ("ACDC", "acdc_2017", "heart")]
    corpus = ArrayCorpus({task: examples(3, 1, 1) for task in tasks})
    with pytest.raises(InputError, match=r"^ACDC, acdc_2017: held out"):
        Episodes(corpus, seed=0, held_out=["*acdc*"])
    with pytest.raises(InputError, match=r"^heart: held out"):
        Episodes(corpus, seed=0, held_out=["heart"])
    with pytest.raises(InputError, match=r"^ACDC, acdc_2017: held out"):
        Episodes(corpus, seed=0, held_out=["*acdc*"], split=None)
    assert len(Episodes(corpus, seed=0, held_out=["*acdc*"], tasks=tasks[2:]).tasks) == 1
    assert len(Episodes(corpus, seed=0, held_out=["*acdc*"], split="test").tasks) == 3
    assert len(Episodes(corpus, seed=0).tasks) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"support_size": 0}, "support_size=0"),
        ({"support_size": (3, 2)}, r"support_size=\(3, 2\)"),
        ({"minimum_area": 1.0}, "minimum_area=1.0"),
        ({"minimum_support": 0}, "minimum_support=0"),
        ({"unions": 1.5}, "unions=1.5"),
        ({"label_threshold": 128}, "label_threshold=128"),
        ({"split": "val"}, "split='val': pass train, validation, test"),
        ({"support_split": "dev"}, "support_split='dev'"),
        ({"tasks": []}, "none of 0 tasks"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        Episodes(small_corpus(), seed=0, **options)


@pytest.mark.parametrize("number", [-1, NUMBER])
def test_numbers_out_of_range(number):
    with pytest.raises(IndexError, match=str(number)):
        Episodes(small_corpus(), seed=0)[number]
