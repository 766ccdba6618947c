"""Dry run of the script for accelerators on a CPU device, on a tiny case."""

import json
import sys

import jax

from experiments.benchmark import accelerator
from tests.helpers.random_networks import SMALL, model_with_biases


def test_inference_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator.uj, "universeg", lambda: model_with_biases(SMALL))
    monkeypatch.setattr(accelerator.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(accelerator, "official_is_here", lambda: False)
    for name, value in {"ENTRIES": 2, "TARGETS": (1,), "SIZE": 8, "RUNS": 1}.items():
        monkeypatch.setattr(accelerator, name, value)
    monkeypatch.setattr(sys, "argv", ["accelerator", "--peak-tflops", "1", "--out", str(tmp_path)])
    accelerator.main()
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert [row["dtype"] for row in rows] == ["float32", "bfloat16"]
    assert all(row["ours"] > 0 and row["share_of_peak"] > 0 for row in rows)
    assert jax.devices()[0].platform == "cpu"
