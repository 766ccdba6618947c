"""Exported files beside the library: sizes, and times in turn in one process."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax import export

from experiments.benchmark.sides import episode, ours
from universeg_jax import weights
from universeg_jax.deploy.interface import INPUTS
from universeg_jax.deploy.jax_export import to_jax
from universeg_jax.deploy.onnx_export import to_onnx

ENTRIES, SIZE = 16, 128


def measure_artifacts(*, runs: int) -> list[dict]:
    """Median seconds of one target with 16 support entries: the library, the JAX artifact, the ONNX file."""
    import onnxruntime

    target, images, labels = episode(1, ENTRIES, SIZE)
    arrays = target, images[0], labels[0], np.ones(ENTRIES, np.float32)
    model = weights.load("open-v0")
    contents = {"jax": to_jax(model, size=SIZE), "onnx": to_onnx(model, size=SIZE)}
    call = jax.jit(export.deserialize(bytearray(contents["jax"])).call)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "universeg.onnx"
        path.write_bytes(contents["onnx"])
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ways: dict[str, Callable[[], np.ndarray]] = {
        "library": ours(target, images, labels),
        "jax": lambda: np.asarray(call(*arrays)),
        "onnx": lambda: session.run(None, dict(zip(INPUTS, arrays, strict=True)))[0],
    }
    expected = ways["library"]()
    differences = {name: float(np.abs(run() - expected).max() / expected.std()) for name, run in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return [
        {
            "way": name,
            "megabytes": len(contents[name]) / 1e6 if name in contents else None,
            "seconds": statistics.median(seconds[name]),
            "difference": differences[name],
        }
        for name in ways
    ]
