import pytest

from experiments.benchmark.scale import rows, simulated_seconds, step_seconds, table

STEP = {
    "seconds_of_memory": 0.010,
    "seconds_of_arithmetic": 0.002,
    "temporary_bytes": 2_000_000_000,
    "argument_bytes": 1_000_000_000,
    "entries": 64,
}


def test_a_step_is_bound_by_memory_and_the_reduction_of_gradients():
    assert step_seconds(STEP, 1) == 0.010
    assert step_seconds(STEP, 256) == pytest.approx(0.010 + 2 * 4 * 1_182_785 / 200e9, rel=0.01)


def test_fast_input_is_hidden_and_slow_input_sets_the_pace():
    hidden = simulated_seconds(0.010, hosts=4, batch=0.002, deviation=0.0002)
    assert hidden == pytest.approx(0.010, rel=0.01)
    slow = simulated_seconds(0.010, hosts=1, batch=0.020, deviation=0.0001)
    assert slow == pytest.approx(0.020, rel=0.01)
    # Near the limit, more hosts are more often late.
    few, many = (simulated_seconds(0.010, hosts=n, batch=0.010, deviation=0.005) for n in (1, 64))
    assert 0.010 < few < many


def test_cores_and_hosts_follow_from_images_a_second():
    (_, four, *_) = rows(STEP, images_per_core=1000, variation=0.1)
    assert four["chips"] == 4
    assert four["images_per_second"] == pytest.approx(4 * 65 / four["step_seconds"])
    assert four["cores"] == pytest.approx(four["images_per_second"] / 1000)
    assert (four["hosts"], four["hosts_for_input"]) == (1, 1)
    assert "| 4 | 10.0" in table([four])
