import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import SupportPool, make_folds


def folds_of(data, *, task=0, seed=0, folds=None, targets=None, minimum_area=0.0):
    return make_folds(data, data.tasks[task], seed=seed, folds=folds, targets=targets, minimum_area=minimum_area)


def test_stored_splits_give_one_fold(discs):
    (fold,) = folds_of(discs())
    assert [e.image for e in fold.support] == list(range(12))
    assert [c.images for c in fold.cases] == [(i,) for i in range(16, 20)]


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 1000), folds=st.integers(2, 12), targets=st.sampled_from([None, 1, 7, 100]))
def test_cross_validation_never_shows_a_targets_subject(discs, seed, folds, targets):
    data = discs(split=False)
    made = folds_of(data, seed=seed, folds=folds, targets=targets)
    names = [case.name for fold in made for case in fold.cases]
    assert len(names) == len(set(names)) == min(targets or 20, 20)
    for fold in made:
        assert not {e.subject for e in fold.support} & {c.subject for c in fold.cases}
    if targets is None:
        assert len(made) == min(folds, 10)


def test_the_targets_of_a_seed_are_the_same_and_of_another_seed_others(discs):
    chosen = [{c.name for c in folds_of(discs(number=100), seed=seed, targets=5)[0].cases} for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_small_labels_are_left_out(discs):
    data = discs()
    area = {e.image: e.area for e in data.examples(data.tasks[0])}
    limit = float(np.median(list(area.values())))
    (fold,) = folds_of(data, minimum_area=limit)
    assert {e.image for e in fold.support} == {i for i in range(12) if area[i] >= limit}
    assert {c.images[0] for c in fold.cases} == {i for i in range(16, 20) if area[i] >= limit}
    assert folds_of(data, minimum_area=0.9) == []


def test_data_without_splits_need_folds(discs):
    with pytest.raises(InputError, match="cells: has no splits"):
        folds_of(discs(split=False))
    assert folds_of(discs(split=False, number=2), folds=5) == []  # one subject


def test_a_pool_reads_each_image_once_and_only_what_is_asked_for(discs):
    data, cache = discs(), {}
    examples = data.examples(data.tasks[0])
    data.reads.clear()
    pool = SupportPool(data, data.tasks[0], examples, cache)
    assert pool.first(3).images.shape == (3, 16, 16, 1)
    assert pool.first(100).labels.shape == (20, 16, 16, 1)
    shuffled = pool.shuffled(np.random.default_rng(0))
    assert {e.image for e in shuffled.examples} == set(range(20))
    np.testing.assert_array_equal(shuffled.first(1).images[0], data.read(data.tasks[0], shuffled.examples[0].image)[0])
    assert len(data.reads) == 21
