"""Tests of the selection of plans: its margin, its thresholds, and a forecast free of the luck of the best plan."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from universeg_jax.segment.selection import best_threshold, expected, mean_dice, select, thresholds

DEFAULT = np.array([[0.5, 0.6, 0.7, 0.8]])


def test_the_default_stays_unless_another_plan_is_clearly_better():
    noisy = np.add(DEFAULT, [0.2, -0.15, 0.1, -0.1])
    assert select([DEFAULT, noisy, DEFAULT - 0.1]) == (0, 0)
    assert select([DEFAULT, noisy, np.add(DEFAULT, [0.1, 0.1, 0.1, 0.05])]) == (2, 0)
    assert select([DEFAULT, np.add(DEFAULT, [np.nan, np.nan, np.nan, 0.3])]) == (0, 0)


def test_a_plan_takes_its_best_threshold():
    assert select([DEFAULT, np.concatenate([DEFAULT - 0.1, DEFAULT + 0.1, DEFAULT + 0.05])]) == (1, 1)
    assert best_threshold(np.concatenate([DEFAULT, DEFAULT + 1e-6])) == 0, "equal to four digits: the nearest to 0.5"


def test_few_examples_keep_the_threshold():
    assert thresholds(7) == (0.5,)
    distances = [round(abs(level - 0.5), 2) for level in thresholds(8)]
    assert len(distances) == 9
    assert distances == sorted(distances), "ties go to the first"


def test_without_other_plans_the_forecast_is_the_default():
    assert np.array_equal(expected([DEFAULT]), DEFAULT[0])


def test_a_clear_winner_keeps_its_dice():
    assert np.allclose(expected([DEFAULT, DEFAULT + 0.1]), DEFAULT[0] + 0.1)


def test_luck_does_not_raise_the_forecast():
    """The best of many plans of equal quality seems better than it is."""
    random = np.random.default_rng(0)
    honest, best = [], []
    for _ in range(200):
        dices = [random.normal(0.7, 0.1, (1, 3)) for _ in range(18)]
        plan, threshold = select(dices)
        best.append(dices[plan][threshold].mean())
        honest.append(expected(dices).mean())
    assert np.mean(best) > 0.75
    assert abs(np.mean(honest) - 0.7) < 0.02


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 100))
def test_the_forecast_of_an_example_does_not_select_by_itself(examples, plans, seed):
    random = np.random.default_rng(seed)
    dices = [random.random((1 if plan == 0 else 3, examples)) for plan in range(plans)]
    for example in range(examples):
        changed = [own.copy() for own in dices]
        for own in changed:
            own[:, example] = own[:, example] / 2
        assert np.isclose(expected(changed)[example], expected(dices)[example] / 2)


def test_a_mean_dice_stays_in_its_range():
    assert mean_dice(np.array([1.1, 1.0, np.nan])) == 1
    assert mean_dice(np.array([np.nan])) == 0
