"""Measure inference on a GPU: bfloat16, many support entries, PyTorch eager and compiled, the limit of the chip.

    PYTHONPATH=/path/to/UniverSeg python -m experiments.benchmark.accelerator --peak-tflops 989 --out DIR

It takes a minute or two on an H200 (989 TFLOP/s in dense bfloat16, NVIDIA's data sheet). Without an accelerator it
lists what it would measure.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import universeg_jax as uj
from experiments.benchmark.machine import machine
from experiments.benchmark.sides import episode, load_official, official_is_here
from experiments.benchmark.work import multiply_adds
from experiments.command import run
from universeg_jax.models.universeg import UniverSegConfig

ENTRIES, TARGETS, SIZE, RUNS = 64, (1, 4, 16), 128, 20


def median_seconds(run: Callable[[], None], wait: Callable[[], None]) -> float:
    """Measure the median seconds of RUNS calls, after three calls that are not counted."""
    times = []
    for index in range(RUNS + 3):
        wait()
        start = time.perf_counter()
        run()
        wait()
        if index >= 3:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def our_seconds(targets: int, dtype: jnp.dtype) -> float:
    model = uj.universeg()
    target, images, labels = (jnp.asarray(x, dtype) for x in episode(targets, ENTRIES, SIZE))
    return median_seconds(lambda: model(target, images, labels).block_until_ready(), lambda: None)


def official_seconds(targets: int, dtype: str, *, compiled: bool) -> float:
    """Repeat the support for each target: a batch keeps an accelerator busy."""
    import torch

    model = load_official().to("cuda", getattr(torch, dtype)).to(memory_format=torch.channels_last)
    arrays = [np.moveaxis(x, -1, -3).copy() for x in episode(targets, ENTRIES, SIZE)]
    target, images, labels = (torch.from_numpy(x).to("cuda", getattr(torch, dtype)) for x in arrays)
    images, labels = (x.expand(targets, *x.shape[1:]) for x in (images, labels))
    run = torch.compile(model) if compiled else model

    def call() -> None:
        with torch.inference_mode():
            run(target, images, labels)

    return median_seconds(call, torch.cuda.synchronize)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak-tflops", type=float, required=True, help="peak of the chip in dense bfloat16")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of accelerator.json")
    arguments = parser.parse_args()
    if jax.default_backend() == "cpu":
        print(
            f"no accelerator here. On one: {TARGETS} targets with {ENTRIES} support entries of {SIZE} px, ours, "
            "PyTorch eager and torch.compile, each in float32 and bfloat16, and the share of the chip's limit"
        )
        return
    rows = []
    for targets in TARGETS:
        for dtype in ("float32", "bfloat16"):
            seconds = our_seconds(targets, jnp.dtype(dtype))
            work = 2 * multiply_adds(UniverSegConfig.v1(), entries=ENTRIES, size=SIZE) * targets / 1e12
            row = {"targets": targets, "entries": ENTRIES, "dtype": dtype, "ours": seconds}
            row["share_of_peak"] = work / seconds / arguments.peak_tflops
            if official_is_here():
                row["eager"] = official_seconds(targets, dtype, compiled=False)
                row["compiled"] = official_seconds(targets, dtype, compiled=True)
            rows.append(row)
            print(json.dumps(row), flush=True)
    results = {"machine": machine(), "peak_tflops": arguments.peak_tflops, "rows": rows}
    (arguments.out / "accelerator.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
