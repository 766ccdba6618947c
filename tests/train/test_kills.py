"""Runs that are killed and started again, in processes of their own."""

import signal

import jax
import numpy as np
import pytest

from tests.helpers.array_run import RUN, signalled, started
from universeg_jax.train.loop import STOPPED
from universeg_jax.train.monitor import read_metrics
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import load

pytestmark = pytest.mark.slow


def results(folder):
    """All metrics but times, and both sets of weights."""
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder / "metrics.jsonl")]
    return lines, [get_parameters(load(folder / name)) for name in ("best", "last")]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, compiled_code):
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = started(folder, compiled_code)
    process.join(300)
    assert process.exitcode == 0
    lines, weights = results(folder)
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 1 + RUN.steps))
    assert [line["step"] for line in lines if "validation" in line] == [4, 6, 8, 12]
    return lines, weights


def test_a_run_that_was_killed_and_stopped_is_the_one_that_was_not(tmp_path, compiled_code, uninterrupted):
    folder = tmp_path / "run"

    def written() -> int:
        return len(read_metrics(folder / "metrics.jsonl"))

    def saving() -> bool:
        return any("tmp" in path.name for path in (folder / "checkpoints").glob("*"))

    code = signalled(started(folder, compiled_code), lambda: written() >= 2 and saving())
    assert code == -signal.SIGKILL
    assert saving()  # an unfinished checkpoint was left behind
    for number, least in ((signal.SIGTERM, 5), (signal.SIGINT, 8)):
        code = signalled(started(folder, compiled_code), lambda least=least: written() >= least, number)
        done = read_metrics(folder / "metrics.jsonl")[-1]["step"]
        assert code == STOPPED
        assert done < RUN.steps
        assert str(done) in [path.name for path in (folder / "checkpoints").iterdir()]
    process = started(folder, compiled_code)
    process.join(300)
    assert process.exitcode == 0
    lines, weights = results(folder)
    assert lines == uninterrupted[0]
    jax.tree.map(np.testing.assert_array_equal, weights, uninterrupted[1])
