"""Time per image with one example and 16, and the time of leave-one-out next to segmenting 16 more images.

    python -m experiments.choice.speed --part images --out experiments/results/choice_speed.json
    python -m experiments.choice.speed --part leave-one-out --out experiments/results/choice_speed.json

All sides run in turn in one process on the shipped fetal heads, every turn on new images, so that no encoding is in
the cache. Processor seconds count all threads; other work on the machine changes them less than the clock.
"""

import argparse
import json
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.benchmark.turns import in_turn, medians
from experiments.command import run
from universeg_jax.io.task_folder import read_support
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.auto import AUTO
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights import shipped
from universeg_jax.weights.loading import PROTOSAM, load

MANY = 16
LIMITS = {  # of ratios of processor time
    ("protosam_16", "protosam_1"): 1.3,
    ("both_16", "encoder"): 2.5,
    ("leave_one_out", "segment_16_more"): 1.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("images", "leave-one-out"), required=True)
    parser.add_argument("--runs", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="keeps the other part")
    arguments = parser.parse_args()
    support = read_support(Path(str(files("universeg_jax") / "assets" / "examples" / "fetal-head" / "support")))
    sam, universeg = load(PROTOSAM), load(shipped.DEFAULT)
    coarse = ProtoSAM(sam, config=ProtoSAMConfig.coarse())
    rng = np.random.default_rng(0)

    def new_image() -> np.ndarray:
        image = support.images[rng.integers(len(support.images))].astype(np.float32)
        return image + rng.uniform(0, 5, image.shape[:2] + (1,) * (image.ndim - 2))

    def task(model, number: int):
        return Segmenter(model).fit(support.images[:number], support.labels[:number])

    if arguments.part == "images":
        view = Segmenter(coarse).view
        runs = {"encoder": lambda: np.asarray(sam.encode(view(new_image()).pixels[None]).early)}
        models = {"protosam_1": (coarse, 1), "protosam_16": (coarse, MANY), "universeg_16": (universeg, MANY)}
        for name, side in (models | {"both_16": ([universeg, coarse], MANY)}).items():
            runs[name] = partial(lambda own: own.predict([new_image()]), task(*side))
    else:
        automatic, both = Segmenter(AUTO), task([universeg, coarse], MANY)
        runs = {
            "leave_one_out": lambda: refitted(automatic, support).choose(),
            "segment_16_more": lambda: both.predict([new_image() for _ in range(MANY)]),
        }
    for name, call in runs.items():
        call()  # so that everything is compiled and prepared
        print(f"{name} is ready", flush=True)
    found = medians(in_turn(runs, runs=arguments.runs))
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    known |= {"machine": machine()} | {name: round(value, 4) for name, value in found.items()}
    known["ratios"] = {
        f"{side} / {other}": round(known[f"{side}_processor_seconds"] / known[f"{other}_processor_seconds"], 3)
        for side, other in LIMITS
        if f"{side}_seconds" in known
    }
    arguments.out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    for name in runs:
        print(f"{name:24} {found[f'{name}_seconds']:.3f} s, {found[f'{name}_processor_seconds']:.3f} processor seconds")
    print(*(f"{name}: {value}" for name, value in known["ratios"].items()), f"limits: {LIMITS}", sep="\n")


def refitted(segmenter: Segmenter, support):
    """Return a new task of an automatic segmenter, without its choice; encodings of examples are in the cache."""
    segmenter.automatic = False
    task = segmenter.fit(support.images[:MANY], support.labels[:MANY])
    segmenter.automatic = True
    for member in task.members:
        member.predictor()
    return task


if __name__ == "__main__":
    run(main)
