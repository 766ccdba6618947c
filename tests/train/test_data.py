import dataclasses
from itertools import islice

import jax
import numpy as np
import pytest

from tests.helpers.array_data import STAGE, config
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import InputError
from universeg_jax.train.data import TrainingData

SMALL = dataclasses.replace(STAGE, size=64, batch_size=2, support_size=(1, 2))
RUN = config(stages=(SMALL,), validation=0.5, validation_episodes=2)


@pytest.fixture(scope="module")
def data(corpus):
    return TrainingData(RUN, corpus)


def numbers(batches, count):
    return [batch.number.tolist() for batch in islice(batches, count)]


def test_tasks_are_for_training_or_for_validation(data, corpus):
    assert len(data.training) == len(data.validation) == 1
    assert {*data.training, *data.validation} == set(Corpus(corpus, resolution=64).tasks)
    assert data.source(SMALL).tasks == tuple(data.training)


def test_batches_start_anywhere(data):
    whole = numbers(data.batches(SMALL, start=0), 4)
    assert whole == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert numbers(data.batches(SMALL, start=2), 2) == whole[2:]


def test_validation_is_the_same_every_time(data, corpus):
    first, again = (of.validation_episodes(SMALL) for of in (data, TrainingData(RUN, corpus)))
    assert first.keys() == set(data.validation)
    (episodes,), (others,) = first.values(), again.values()
    assert len(episodes) == 2
    jax.tree.map(np.testing.assert_array_equal, episodes, others)
    assert all(episode.support_mask.all() for episode in episodes)  # the largest support


def test_all_splits_are_learned_from_only_where_asked(corpus):
    for split in ("train", None):
        data = TrainingData(dataclasses.replace(RUN, split=split), corpus)
        source, (task,) = data.source(SMALL), data.training
        there = Corpus(corpus, resolution=64).examples(task, split, minimum_area=0.001)
        assert len({source[i].target.tobytes() for i in range(len(there))}) == len(there)


def test_examples_with_small_labels_and_tasks_with_few_are_left_out(corpus):
    (task,) = TrainingData(RUN, corpus).training
    areas = sorted(example.area for example in Corpus(corpus, resolution=64).examples(task, "train"))
    limit = areas[-2]
    source = TrainingData(dataclasses.replace(RUN, minimum_area=limit), corpus).source(SMALL)
    assert {source[i].target_label.mean() >= limit - 1e-3 for i in range(4)} == {True}
    with pytest.raises(InputError, match="each with 9 or more examples for its support"):
        TrainingData(dataclasses.replace(RUN, minimum_support=9), corpus).source(SMALL)


def test_synthetic_tasks_have_their_share(corpus):
    run = dataclasses.replace(RUN, synthetic=0.5)
    data = TrainingData(run, corpus)
    source = data.source(dataclasses.replace(SMALL, support_size=2))
    real = len(data.training)
    assert sorted(int(source[i].task) < real for i in range(4)) == [False, False, True, True]


def test_superpixels_have_their_share(corpus):
    data = TrainingData(dataclasses.replace(RUN, superpixels=0.25, synthetic=0.5), corpus)
    source = data.source(dataclasses.replace(SMALL, support_size=2))
    kinds = [source.tasks[int(source[i].task)].label for i in range(4)]
    assert kinds.count("superpixel") == 1
    assert sum(int(source[i].task) < len(data.training) for i in range(4)) == 1


def test_support_sizes_are_dealt(corpus):
    data = TrainingData(dataclasses.replace(RUN, superpixels=0.25, synthetic=0.5), corpus)
    stage = dataclasses.replace(SMALL, support_size=2, support_deck=(1, 2, 2))
    found = list(islice(data.batches(stage, start=0), 6))
    assert sorted(batch.support_mask.shape[1] for batch in found[:3]) == [1, 2, 2]
    assert all(batch.support_mask.all() for batch in found)
    one_size = data.source(dataclasses.replace(SMALL, support_size=2))
    assert data.source(stage).tasks == one_size.tasks
    tasks = [int(task) for batch in found for task in batch.task]
    assert tasks == [int(one_size[number].task) for number in range(12)]  # the shares are kept
    assert numbers(data.batches(stage, start=4), 2) == [[8, 9], [10, 11]]
    (episodes,) = data.validation_episodes(stage).values()
    assert {episode.support_mask.shape for episode in episodes} == {(2,)}


def test_held_out_datasets_are_refused(corpus):
    with pytest.raises(InputError, match="held out from training"):
        TrainingData(dataclasses.replace(RUN, held_out=("first", "second")), corpus)
    with pytest.raises(InputError, match="held out from training"):
        TrainingData(dataclasses.replace(RUN, held_out=("first", "second"), split="test"), corpus)


def test_a_resolution_that_the_corpus_lacks_is_refused(corpus):
    with pytest.raises(InputError, match=r"resolution=32: .* is stored at"):
        TrainingData(dataclasses.replace(RUN, stages=(dataclasses.replace(SMALL, size=32),)), corpus)
