import numpy as np
import pytest
from scipy import stats

from universeg_jax.evaluate.metrics import METRICS
from universeg_jax.evaluate.records import Key, Record
from universeg_jax.evaluate.summary import Condition, by_condition, difference, spread_over_draws, summarise

M = len(METRICS)


def record(task, draw, scores, subjects, support=4):
    cases = tuple(str(i) for i in range(len(scores)))
    key = Key(task, "m", support, None, draw)
    return Record(key, "m", "d", support, cases, tuple(subjects), np.tile(np.array(scores)[:, None], M), 0.0)


def cells(scores, subjects, task="d/x/y/z"):
    return by_condition([record(task, 0, scores, subjects)])[Condition("m", 4, None)]


def test_means_over_draws_cases_tasks_and_datasets():
    records = [
        record("a/x/y/1", 0, [0.2, 0.4], "pq"),
        record("a/x/y/1", 1, [0.4, 0.6], "pq"),
        record("a/x/y/2", 0, [1.0], "p"),
        record("b/x/y/1", 0, [0.1], "r"),
    ]
    summary = summarise(by_condition(records)[Condition("m", 4, None)])
    assert summary.tasks["a/x/y/1"].mean == pytest.approx(np.full(M, 0.4))
    assert summary.datasets["a"].mean == pytest.approx(np.full(M, 0.7))
    assert summary.over_tasks.mean == pytest.approx(np.full(M, 0.5))
    assert summary.over_datasets.mean == pytest.approx(np.full(M, 0.4))
    assert (summary.cases["a/x/y/1"], summary.subjects["b/x/y/1"]) == (2, 1)
    spread = spread_over_draws(records)
    assert spread[Condition("m", 4, None), "a/x/y/1"] == pytest.approx(np.full(M, 0.2 / 2**0.5))
    assert spread[Condition("m", 4, None), "b/x/y/1"] is None


def test_interval_is_that_of_scipy():
    scores = np.random.default_rng(0).random(40)
    found = summarise(cells(scores, map(str, range(40))), resamples=20000).over_tasks
    expected = stats.bootstrap((scores,), np.mean, n_resamples=20000, method="percentile", rng=0).confidence_interval
    assert found.low[0] == pytest.approx(expected.low, abs=0.003)
    assert found.high[0] == pytest.approx(expected.high, abs=0.003)


def test_the_interval_of_a_dataset_does_not_depend_on_other_datasets():
    scores = np.random.default_rng(0).random(10)
    own, before, after = (cells(scores, "abcdefghij", f"{name}/x/y/z") for name in ("m", "a", "z"))
    alone, among = (summarise(these).datasets for these in (own, {**before, **own, **after}))
    assert (alone["m"].low[0], alone["m"].high[0]) == (among["m"].low[0], among["m"].high[0])
    assert among["a"].low[0] != among["m"].low[0]  # and each is drawn by itself


def test_images_of_one_subject_are_drawn_together():
    rng = np.random.default_rng(0)
    of_subject = rng.random(10)
    scores = np.repeat(of_subject, 20)
    by_image = summarise(cells(scores, map(str, range(200)))).over_tasks
    by_subject = summarise(cells(scores, np.repeat(list("abcdefghij"), 20))).over_tasks
    once = summarise(cells(of_subject, "abcdefghij")).over_tasks
    assert by_subject.high[0] - by_subject.low[0] > 3 * (by_image.high[0] - by_image.low[0])
    assert (by_subject.low[0], by_subject.high[0]) == pytest.approx((once.low[0], once.high[0]))


def test_tasks_of_one_dataset_share_their_subjects():
    opposite = {"d/x/y/1": [0.0, 0.5, 1.0, 0.2], "d/x/y/2": [1.0, 0.5, 0.0, 0.8]}
    together = {**cells(opposite["d/x/y/1"], "abcd", "d/x/y/1"), **cells(opposite["d/x/y/2"], "abcd", "d/x/y/2")}
    found = summarise(together).over_tasks
    assert (found.low[0], found.high[0]) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("subjects", ["aaa", "aab"])
def test_one_or_two_subjects_have_no_interval(subjects):
    few, enough = cells([0.3, 0.5, 0.7], subjects, "d/x/y/1"), cells([0.3, 0.5, 0.7], "abc", "e/x/y/1")
    summary = summarise({**few, **enough})
    assert summary.tasks["d/x/y/1"].low is summary.datasets["d"].low is None
    assert summary.tasks["e/x/y/1"].low is not None
    assert summary.datasets["e"].low is not None


def test_a_mean_over_tasks_has_no_interval_where_one_of_them_has_none():
    few, enough = cells([0.3], "a", "d/x/y/1"), cells([0.3, 0.5, 0.7], "abc", "e/x/y/1")
    summary = summarise({**few, **enough})
    assert summary.over_tasks.mean[0] == pytest.approx(0.4)
    assert summary.over_tasks.low is summary.over_datasets.low is None
    assert summarise(enough).over_tasks.low is not None


def test_difference_is_paired():
    one, other = cells([0.9, 0.5, 0.1], "abc"), cells([0.8, 0.4, 0.0], "abc")
    gain = summarise(difference(one, other)).over_tasks
    assert (gain.mean[0], gain.low[0], gain.high[0]) == pytest.approx((0.1, 0.1, 0.1))


def test_a_mean_over_tasks_of_single_subjects_has_no_interval():
    records = [record("d/x/y/1", 0, [0.2], "p"), record("d/x/y/2", 0, [0.6], "q")]
    summary = summarise(by_condition(records)[Condition("m", 4, None)])
    assert summary.over_tasks.mean[0] == pytest.approx(0.4)
    assert summary.over_tasks.low is summary.over_datasets.low is None
