"""The labelled slices that are shown for the slices of a volume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from universeg_jax.errors import InputError
from universeg_jax.segment.slice_choice import Candidates, SliceChoice, slices_to_test, spread

CANDIDATES = Candidates(
    positions=np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.1, 0.5, 0.9]),
    subjects=np.array([0, 0, 0, 0, 0, 1, 1, 1]),
    shown=np.array([[0, 1, 1, 0, 0, 0, 1, 0]], bool),
)
SIMILARITY = np.array([0.1, 0.2, 0.3, 0.9, 0.4, 0.1, 0.2, 0.8])


def entries(position=0.5, varied=0.0, **options):
    return SliceChoice(varied=varied, **options).entries(CANDIDATES, SIMILARITY, position)[0].tolist()


def test_the_nearest_slices_of_each_subject_are_shown():
    assert entries(size=2, by="position") == [2, 6]
    assert entries(size=4, by="position") == [2, 3, 6, 7]
    assert entries(size=4, by="position", position=0.0) == [0, 1, 5, 6]


def test_the_most_similar_slices_of_each_subject_are_shown():
    assert entries(size=2, by="similarity") == [3, 7]


def test_both_weigh_similarity_and_position():
    assert entries(size=2, by="both", position=0.75) == [3, 7]
    assert entries(size=2, by="both", position=0.0) == [3, 5]  # 0.9 - 0.75 is above 0.1 - 0
    assert entries(size=2, by="both", position=None) == entries(size=2, by="similarity")


def test_subjects_with_few_slices_are_filled_up_from_others():
    assert entries(size=8) == list(range(8))
    assert entries(size=7, by="position") == [1, 2, 3, 4, 5, 6, 7]


def test_random_slices_follow_the_seed():
    assert entries(size=4, by="random") == entries(size=4, by="random")
    assert len({tuple(entries(size=4, by="random", seed=seed)) for seed in range(8)}) > 1


def test_without_negatives_every_slice_shows_a_structure():
    assert entries(size=8, negatives=0) == [1, 2, 6]


def test_a_part_of_the_slices_shows_each_structure_in_turn():
    rare = Candidates(CANDIDATES.positions, CANDIDATES.subjects, np.vstack([CANDIDATES.shown, np.arange(8) == 4]))
    choice = SliceChoice(size=4, by="position", varied=0.5)
    found, counts = choice.entries(rare, SIMILARITY, 0.0)
    assert found.tolist() == [0, 1, 4, 5]  # the nearest of each subject, then one for each structure
    assert counts.all()
    assert SliceChoice(size=8, varied=0.5).entries(rare, SIMILARITY, 0.0)[0].tolist() == list(range(8))


def test_few_slices_without_a_structure_count_if_asked_for():
    _, counts = SliceChoice(size=8, negatives=0.5).entries(CANDIDATES, SIMILARITY, 0.5)
    shown = CANDIDATES.shown[0]
    assert counts[0, shown].all()
    assert np.count_nonzero(counts[0, ~shown]) == np.count_nonzero(shown)
    _, counts = SliceChoice(size=8, negatives=0).entries(CANDIDATES, SIMILARITY, 0.5)
    assert counts.tolist() == [[True] * 3]


def test_slices_within_some_millimetres_share_their_set():
    assert [SliceChoice(share=8).group(spacing) for spacing in (0.5, 1, 2, 7.7, 20)] == [8, 8, 4, 1, 1]


def test_slices_are_spread_evenly():
    assert spread(10, 3) == [0, 4, 9]
    assert spread(3, 5) == [0, 1, 2]
    assert spread(10, 2, needed=[5]) == [0, 5, 9]


@pytest.mark.parametrize("options", [{"size": 0}, {"by": "name"}, {"share": -1}, {"pool": 1.5}, {"varied": 2}])
def test_unusable_options_are_refused(options):
    with pytest.raises(InputError):
        SliceChoice(**options)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 16), st.integers(0, 20))
def test_tested_slices_stand_for_all_slices_of_their_kind(shown, number, volume):
    indices, weights = slices_to_test(np.array(shown), number, volume)
    assert len(set(indices)) == len(indices) <= number
    assert bool(indices) == any(shown)
    for kind in (True, False):
        own = [weight for index, weight in zip(indices, weights, strict=True) if shown[index] == kind]
        assert not own or np.isclose(sum(own), shown.count(kind))
    assert not indices or any(shown[index] for index in indices)


def test_tested_slices_of_many_volumes_cover_all_heights():
    """The ends of an organ are small and hard, so a test of its middle alone promises too much."""
    found = np.concatenate([slices_to_test(np.ones(32, bool), 2, volume)[0] for volume in range(8)])
    assert np.diff(np.sort(found)).max() <= 5
    assert found.min() <= 3
    assert found.max() >= 28
