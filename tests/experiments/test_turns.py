import time

import pytest

from experiments.benchmark.turns import Taken, in_turn, medians, ratio


def test_sides_take_turns():
    order = []
    taken = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, runs=3)
    assert order == ["a", "b"] * 3
    assert [len(times) for times in taken.values()] == [3, 3]


def test_waiting_is_no_processor_time():
    ((wall, processor),) = in_turn({"a": lambda: time.sleep(0.2)}, runs=1)["a"]
    assert wall >= 0.2
    assert processor < wall


def test_ratios_are_of_runs_that_follow_each_other():
    taken = {"a": [Taken(1, 1), Taken(10, 2), Taken(2, 9)], "b": [Taken(2, 3), Taken(20, 4), Taken(8, 5)]}
    assert ratio(taken, ours="a", theirs="b") == {"ratio": 2, "ratio_range": (2, 4)}
    assert medians(taken) == {
        "a_seconds": 2,
        "a_processor_seconds": 2,
        "b_seconds": 8,
        "b_processor_seconds": pytest.approx(4),
    }


def test_what_was_not_run_has_no_median():
    assert medians(in_turn({"a": list}, runs=0)) == {"a_seconds": None, "a_processor_seconds": None}
