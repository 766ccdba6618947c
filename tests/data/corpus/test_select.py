import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.corpus.select import refuse_held_out, split_tasks
from universeg_jax.errors import InputError

TASKS = [
    CorpusTask(f"d{i}", "CT", axis, f"label{k}") for i in range(5) for k in range(4) for axis in ("axial", "coronal")
]


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 0.97), st.integers())
def test_split_tasks_is_a_partition_by_label(validation, seed):
    train, kept = split_tasks(TASKS, validation=validation, seed=seed)
    assert sorted(train + kept, key=TASKS.index) == TASKS
    assert not {(t.dataset, t.label) for t in train} & {(t.dataset, t.label) for t in kept}
    assert len(kept) == 2 * (max(1, round(20 * validation)) if validation else 0)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_part_of_the_training_tasks(training, other):
    less, more = (split_tasks(TASKS, validation=0.2, training=each) for each in sorted((training, other)))
    assert less[1] == more[1]
    assert 0 < len(less[0]) <= len(more[0]) <= 32
    assert set(less[0]) <= set(more[0]) <= set(split_tasks(TASKS, validation=0.2)[0])
    assert len({(t.dataset, t.label) for t in less[0]}) == max(1, round(16 * min(training, other)))


@pytest.mark.parametrize("training", [0.0, 1.5])
def test_a_part_that_is_none_or_more_than_all(training):
    with pytest.raises(InputError, match=f"training={training}: pass a fraction"):
        split_tasks(TASKS, validation=0.2, training=training)


def test_split_tasks_depends_on_the_seed_and_not_on_the_order():
    shuffled = random.Random(0).sample(TASKS, len(TASKS))
    splits = [set(split_tasks(tasks, validation=0.3, seed=seed)[1]) for tasks in (TASKS, shuffled) for seed in (0, 1)]
    assert splits[0] == splits[2]
    assert splits[1] == splits[3]
    assert splits[0] != splits[1]


@pytest.mark.parametrize("validation", [-0.5, 0.99, 1.0])
def test_split_tasks_leaves_something_to_train_on(validation):
    with pytest.raises(InputError, match=f"validation={validation}: .* leaves some of 20 labels"):
        split_tasks(TASKS, validation=validation)


NAMES = ("*acdc*", "scd*", "ms_oasis")


@pytest.mark.parametrize("name", ["ACDC", "acdc_train", "Dataset027_ACDC_12", "scd_2", "MS_OASIS"])
def test_held_out_names(name):
    tasks = [CorpusTask("hearts", "MR", "axial", "1"), CorpusTask(name, "MR", "axial", "1")]
    with pytest.raises(InputError, match=f"^{name}: held out"):
        refuse_held_out(tasks, NAMES)
    refuse_held_out(tasks, ())


def test_one_name_is_no_tuple_of_names():
    with pytest.raises(InputError, match=r"held_out='acdc': pass a tuple of names"):
        refuse_held_out([CorpusTask("acdc", "MR", "axial", "1")], "acdc")


def test_other_names_pass():
    refuse_held_out([CorpusTask(name, "MR", "axial", "1") for name in ("oasis", "my_scd", "ms_lesions")], NAMES)
