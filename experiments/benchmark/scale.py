"""Compute what a pod of TPU v5e would do, from the compiler's figures of a step and the measured input pipeline.

    python -m experiments.benchmark.tpu --out experiments/results
    python -m experiments.input_pipeline --corpus CORPUS --out experiments/results
    python -m experiments.benchmark.scale --out experiments/results

No TPU is involved. A step takes at least the longer of its time in memory and in arithmetic, and the all-reduce of the
gradients afterwards. Every host prepares the episodes of its chips, and reads ahead. All chips wait for the slowest
host, so a simulation draws the time of each batch of each host from the measured mean and deviation.
"""

import argparse
import json
import math
import shlex
import sys
from pathlib import Path

import numpy as np

from experiments.command import run
from universeg_jax.errors import InputError

CHIPS = (1, 4, 16, 64, 256)
CHIPS_OF_HOST, CORES_OF_HOST = 4, 112
"""Hardware threads of one host of a v5e pod, from https://cloud.google.com/tpu/docs/v5e."""
LINKS = 200e9
"""Bytes per second between chips of v5e (1,600 Gbit/s), from the same page."""
GRADIENT_BYTES = 4 * 1_182_785
"""Size of the float32 gradients of UniverSeg v1."""
STEPS, AHEAD = 400, 4  # steps of a simulation, and batches that a host reads ahead


def step_seconds(row: dict, chips: int) -> float:
    """Compute the least seconds of a step of one episode for each chip.

    Args:
        row: a training step of `tpu.json`.
        chips: chips that share the gradients.
    """
    reduce = 2 * (chips - 1) / chips * GRADIENT_BYTES / LINKS
    return max(row["seconds_of_memory"], row["seconds_of_arithmetic"]) + reduce


def simulated_seconds(
    step: float, *, hosts: int, batch: float, deviation: float, steps: int = STEPS, ahead: int = AHEAD
) -> float:
    """Simulate a run and return its mean seconds of a step, waits for input included.

    Args:
        step: seconds of a step on the chips.
        hosts: hosts that each prepare their part of every batch.
        batch: mean seconds in which a host prepares its part.
        deviation: standard deviation of these seconds. They are drawn from a gamma distribution.
        steps: number of steps.
        ahead: batches that a host has ready at most before the chips take them.
    """
    rng, shape = np.random.default_rng(0), (batch / deviation) ** 2
    ready = np.zeros(hosts)  # time at which each host has its next part
    began: list[float] = []
    now = 0.0
    for number in range(steps):
        # A host starts its next part when it has a free place, which is when an earlier part was taken.
        free = began[number - ahead] if number >= ahead else 0.0
        ready = np.maximum(ready, free) + rng.gamma(shape, batch / shape, hosts)
        now = max(now, ready.max())
        began.append(now)
        now += step
    return now / steps


def rows(training: dict, *, images_per_core: float, variation: float) -> list[dict]:
    """Compute one row for each number of chips.

    Args:
        training: a training step of `tpu.json`.
        images_per_core: images a second that one core prepares.
        variation: standard deviation of the time of a batch over its mean.
    """
    found = []
    for chips in CHIPS:
        step = step_seconds(training, chips)
        images = chips * (1 + training["entries"])
        hosts = math.ceil(chips / CHIPS_OF_HOST)
        batch = images / hosts / images_per_core / CORES_OF_HOST
        found.append(
            {
                "chips": chips,
                "step_seconds": step,
                "episodes_per_second": chips / step,
                "bytes_of_chip": training["temporary_bytes"] + training["argument_bytes"],
                "images_per_second": images / step,
                "cores": images / step / images_per_core,
                "hosts": hosts,
                "hosts_for_input": math.ceil(images / step / images_per_core / CORES_OF_HOST),
                "simulated_step_seconds": simulated_seconds(
                    step, hosts=hosts, batch=batch, deviation=variation * batch
                ),
            }
        )
    return found


def table(found: list[dict]) -> str:
    """Write the rows as a Markdown table."""
    lines = [
        "| chips | ms a step | simulated, with input | episodes / s | GB a chip | images / s | cores for them "
        "| hosts of the pod | hosts for input |",
        "|---" * 9 + "|",
    ]
    for row in found:
        lines.append(
            f"| {row['chips']} | {1e3 * row['step_seconds']:.2f} | {1e3 * row['simulated_step_seconds']:.2f} | "
            f"{row['episodes_per_second']:.0f} | {row['bytes_of_chip'] / 1e9:.2f} | {row['images_per_second']:.0f} | "
            f"{row['cores']:.0f} | {row['hosts']} | {row['hosts_for_input']} |"
        )
    return "\n".join(lines) + "\n"


def _read(file: Path, command: str) -> dict:
    if not file.exists():
        raise InputError(f"{file}: is missing; run `{command}` first")
    return json.loads(file.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of tpu.json, input_pipeline.json, scale.{json,md}",
    )
    out = parser.parse_args().out
    steps = _read(out / "tpu.json", "python -m experiments.benchmark.tpu")["rows"]
    of_one = {"chip": "v5e", "topology": "2x2", "entries": 64, "support_devices": 1}
    matching = [row for row in steps if of_one.items() <= row.items() and "too_large" not in row]
    if not matching:
        raise InputError(f"{out / 'tpu.json'}: has no training step with {of_one}; run experiments.benchmark.tpu again")
    training = min(matching, key=lambda row: row["seconds_of_memory"])
    pipeline = _read(out / "input_pipeline.json", "python -m experiments.input_pipeline")
    inside = [row for row in pipeline["throughput"] if "images_per_processor_second" in row]
    if not inside:
        raise InputError(f"{out / 'input_pipeline.json'}: has no row without workers; measure with --workers 0")
    images_per_core = inside[0]["images_per_processor_second"]
    variation = inside[0]["batch_deviation"] / inside[0]["batch_seconds"]
    found = rows(training, images_per_core=images_per_core, variation=variation)
    command = shlex.join(["python", "-m", "experiments.benchmark.scale", *sys.argv[1:]])
    results = {"command": command, "images_per_core": images_per_core, "variation": variation, "rows": found}
    (out / "scale.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "scale.md").write_text(
        "# A pod of TPU v5e on paper\n\n"
        f"`{command}`. One episode of {training['entries']} support entries of 128 px for each chip, bfloat16, from "
        f"[tpu.md](tpu.md): the compiler's figures. Input from [input_pipeline.json](input_pipeline.json): "
        f"{images_per_core:.0f} images a second for each core, deviation of a batch {variation:.0%} of its time. "
        f"A host of the pod has {CHIPS_OF_HOST} chips and {CORES_OF_HOST} hardware threads.\n\n{table(found)}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    run(main)
