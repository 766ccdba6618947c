import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.support import (
    heights,
    make_scan_folds,
    natural_order,
    nearest_slices,
    part_of_slices,
    part_slices,
)

CHAOS = [1, 2, 3, 5, 8, 10, 13, 15, 19, 20, 21, 22, 31, 32, 33, 34, 36, 37, 38, 39]


def test_twenty_scans_are_split_as_upstream_splits_them():
    folds = make_scan_folds([str(i) for i in reversed(CHAOS)])
    assert [fold.queries for fold in folds] == [tuple(map(str, CHAOS[i : i + 4])) for i in range(0, 20, 4)]
    assert [fold.support for fold in folds] == ["8", "19", "31", "36", "1"]


def test_thirty_scans_are_split_as_upstream_splits_them():
    folds = make_scan_folds([f"{i}" for i in range(30)])
    assert [fold.queries[0] for fold in folds] == ["0", "6", "12", "18", "24"]
    assert [fold.support for fold in folds] == ["6", "12", "18", "24", "0"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_scan_is_a_query_once_and_never_its_own_support(seed):
    names = [f"scan{i}" for i in range(13)]
    folds = make_scan_folds(names, folds=4, seed=seed)
    assert sorted(name for fold in folds for name in fold.queries) == sorted(names)
    assert all(fold.support not in fold.queries for fold in folds)


def test_other_seeds_choose_other_support():
    names = [f"scan{i}" for i in range(20)]
    chosen = {seed: [fold.support for fold in make_scan_folds(names, seed=seed)] for seed in (0, 1, 2)}
    assert chosen[0] != chosen[1] != chosen[2]
    assert chosen[1] == [fold.support for fold in make_scan_folds(names, seed=1)]


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_need_scans(folds):
    with pytest.raises(InputError, match=f"folds={folds}: pass 2 to 3 for 3 scans"):
        make_scan_folds(["a", "b", "c"], folds=folds)


def test_numbers_in_names_count():
    assert natural_order(["s10", "s2", "a", "s2b"]) == ["a", "s2", "s2b", "s10"]


@pytest.mark.parametrize("number", range(1, 40))
def test_support_slices_are_the_fractions_of_upstream(number):
    assert part_slices(number) == [int(fraction * number) for fraction in (1 / 6, 1 / 2, 5 / 6)]


@pytest.mark.parametrize("number", range(2, 40))
def test_parts_are_thirds_of_the_range(number):
    slices = np.arange(5, 5 + number)
    length = (slices[-1] - slices[0]) / 3
    expected = [min(2, int((z - slices[0]) / length + 1e-9)) for z in slices]
    assert part_of_slices(slices).tolist() == expected


def test_a_single_slice_is_in_the_first_part():
    assert part_of_slices(np.array([7])).tolist() == [0]
    assert heights(np.array([7])).tolist() == [0.0]


def test_nearest_slices_are_nearest_in_height_not_in_number():
    nearest = nearest_slices(np.arange(100, 111), np.array([0, 10, 20]), number=3)
    assert nearest[0].tolist() == [0, 1, 2]
    assert nearest[1, 0] == 5
    assert set(nearest[1].tolist()) == {4, 5, 6}
    assert nearest[2].tolist() == [10, 9, 8]
    assert nearest_slices(np.arange(2), np.arange(4), number=5).shape == (4, 2)
