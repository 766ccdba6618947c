from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.data.corpus.select import split_subjects


@pytest.mark.parametrize(
    ("number", "sizes"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (5, (3, 1, 1)), (100, (60, 20, 20))]
)
def test_sizes(number, sizes):
    counted = Counter(split_subjects(map(str, range(number)), dataset="d").values())
    assert tuple(counted[split] for split in ("train", "validation", "test")) == sizes


@settings(deadline=None, derandomize=True)
@given(subjects=st.lists(st.text(max_size=5), max_size=60), seed=st.randoms(use_true_random=False))
def test_depends_on_the_subjects_alone(subjects, seed):
    splits = split_subjects(subjects, dataset="d")
    shuffled = [*subjects, *subjects[:3]]
    seed.shuffle(shuffled)
    assert split_subjects(shuffled, dataset="d") == splits
    assert splits.keys() == set(subjects)
    train = sum(split == "train" for split in splits.values())
    assert abs(train - 0.6 * len(splits)) <= 1.5


def test_differs_between_datasets_and_is_the_same_everywhere():
    names = [f"p{i}" for i in range(10)]
    assert split_subjects(names, dataset="a") != split_subjects(names, dataset="b")
    held_back = [name for name, split in split_subjects(names, dataset="a").items() if split != "train"]
    assert sorted(held_back) == ["p5", "p6", "p7", "p8"]
