"""Dry run of the scripts for accelerators on a CPU device, on tiny cases."""

import json
import subprocess
import sys
from functools import partial

import jax
import pytest

from experiments.benchmark import accelerator, accelerator_training
from tests.helpers.random_networks import model_with_biases
from universeg_jax.models.universeg import UniverSegConfig

TINY = UniverSegConfig(((2, 2), (2, 2)), input_size=8)


@pytest.fixture(autouse=True)
def looks_like_an_accelerator(monkeypatch):
    for script, sizes in (
        (accelerator, {"ENTRIES": 2, "TARGETS": (1,), "SIZE": 8, "RUNS": 1}),
        (accelerator_training, {"ENTRIES": (2,), "EPISODES": (1,), "SIZE": 8, "STEPS": 1}),
    ):
        monkeypatch.setattr(script, "official_is_here", lambda: False)
        for name, value in sizes.items():
            monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(accelerator.jax, "default_backend", lambda: "gpu")


def test_inference_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator.uj, "universeg", lambda: model_with_biases(TINY))
    monkeypatch.setattr(sys, "argv", ["accelerator", "--peak-tflops", "1", "--out", str(tmp_path)])
    accelerator.main()
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert [row["dtype"] for row in rows] == ["float32", "bfloat16"]
    assert all(row["ours"] > 0 and row["share_of_peak"] > 0 for row in rows)
    assert jax.devices()[0].platform == "cpu"


def test_training_is_measured(tmp_path, monkeypatch):
    def in_this_process(command, **_):
        side, precision, *sizes = command[command.index("--case") + 1 :]
        row = accelerator_training.measure(side, precision, *map(int, sizes))
        return subprocess.CompletedProcess(command, 0, json.dumps(row), "")

    monkeypatch.setattr(accelerator_training.subprocess, "run", in_this_process)
    monkeypatch.setattr(accelerator_training, "ours", partial(accelerator_training.ours, model=TINY))
    monkeypatch.setattr(accelerator_training, "PRECISIONS", {"bfloat16": ("bfloat16", None)})
    monkeypatch.setattr(sys, "argv", ["accelerator_training", "--out", str(tmp_path)])
    accelerator_training.main()
    (row,) = json.loads((tmp_path / "accelerator_training.json").read_text())["rows"]
    assert (row["side"], row["precision"], row["episodes"], row["entries"]) == ("ours", "bfloat16", 1, 2)
    assert row["episodes_per_second"] > 0
