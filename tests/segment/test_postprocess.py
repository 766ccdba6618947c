"""Cleaning of masks by components, and smoothing of probabilities across slices."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from universeg_jax.errors import InputError
from universeg_jax.segment.postprocess import REACH, Cleaning, smoothed


def mask():
    """Class 1 with components of 8, 2 and 1 voxels, and class 2 with one."""
    made = np.zeros((8, 8, 4), np.uint8)
    made[0:2, 0:2, 0:2], made[4, 0:2, 0], made[6, 6, 3], made[0, 7, 0] = 1, 1, 1, 2
    return made


@pytest.mark.parametrize(("options", "left"), [({}, 11), ({"largest": True}, 8), ({"islands": 0.2}, 10)])
def test_components_are_removed_class_by_class(options, left):
    cleaned = Cleaning(**options)(mask(), np.array([0, 1, 2]))
    assert (cleaned == 1).sum() == left
    assert (cleaned == 2).sum() == 1


def test_touching_corners_do_not_connect():
    made = np.zeros((4, 4, 4), np.uint8)
    made[0:2, 0, 0], made[2, 1, 0] = 1, 1
    assert (Cleaning(largest=True)(made, np.array([0, 1])) == 1).sum() == 2


def test_a_part_of_all_is_refused():
    with pytest.raises(InputError, match="islands=1"):
        Cleaning(islands=1)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_it_is_a_gaussian_across_slices(sigma):
    maps = np.random.default_rng(0).random((20, 3, 4, 2)).astype(np.float32)
    found = list(smoothed(enumerate(maps), sigma))
    assert [i for i, _ in found] == list(range(20))
    expected = gaussian_filter1d(maps, sigma, axis=0, truncate=REACH)
    inside = slice(6, 14)
    np.testing.assert_allclose(np.stack([own for _, own in found])[inside], expected[inside], atol=1e-6)


def test_missing_slices_count_for_nothing():
    numbers = [2, 3, 4, 9, 10, 30]
    found = list(smoothed([(i, np.ones((2, 2, 1), np.float32)) for i in numbers], 1.0))
    assert [i for i, _ in found] == numbers
    np.testing.assert_allclose(np.stack([own for _, own in found]), 1, atol=1e-6)
    maps = dict(smoothed([(i, np.full((1, 1, 1), float(i == 30))) for i in numbers], 1.0))
    assert maps[30] == 1
    assert maps[10] == 0


def test_nothing_changes_without_smoothing():
    maps = list(np.random.default_rng(0).random((4, 3, 4, 2)))
    assert all(own is one for (_, own), one in zip(smoothed(enumerate(maps), 0), maps, strict=True))


def test_few_slices_are_held_at_a_time():
    held: list[int] = []

    def slices():
        for i in range(30):
            held.append(i)
            yield i, np.zeros((1, 1, 1))

    for i, _ in smoothed(slices(), 1.0):
        assert held[-1] <= i + 3
