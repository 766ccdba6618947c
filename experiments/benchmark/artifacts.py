"""Measure exported files and the library: sizes, and times in turn in one process."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax import export

import universeg_jax as uj
from experiments.benchmark.sides import episode, ours
from experiments.benchmark.turns import in_turn, medians
from universeg_jax.deploy.formats import INPUTS, to_jax, to_onnx

ENTRIES, SIZE = 16, 128


def measure_artifacts(*, runs: int) -> list[dict]:
    """Median seconds of one target with 16 support entries: the library, the JAX artifact, the ONNX file."""
    import onnxruntime

    target, images, labels = episode(1, ENTRIES, SIZE)
    arrays = target, images[0], labels[0], np.ones(ENTRIES, np.float32)
    model = uj.universeg()
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
    taken = medians(in_turn(ways, runs=runs))
    return [
        {
            "way": name,
            "megabytes": len(contents[name]) / 1e6 if name in contents else None,
            "seconds": taken[f"{name}_seconds"],
            "difference": differences[name],
        }
        for name in ways
    ]
