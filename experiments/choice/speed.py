"""Time per image of ProtoSAM with one example and many, of UniverSeg, and of their mean.

    python -m experiments.choice.speed --out experiments/results/choice_speed.json

All sides run in turn in one process on the shipped fetal heads, every turn on another image, so that no encoding is in
the cache. Processor seconds count all threads; other work on the machine changes them less than the clock.
"""

import argparse
import itertools
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.benchmark.turns import in_turn, medians
from experiments.command import run
from universeg_jax.io.task_folder import read_support
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights import shipped
from universeg_jax.weights.loading import PROTOSAM, load

MANY = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="SIDE", help="some sides, by their names in the result")
    parser.add_argument("--runs", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    support = read_support(Path(str(files("universeg_jax") / "assets" / "examples" / "fetal-head" / "support")))
    sam, universeg = load(PROTOSAM), load(shipped.DEFAULT)
    coarse = ProtoSAMConfig.coarse()
    sides = {"encoder": Segmenter(ProtoSAM(sam, config=coarse))}
    models = {
        "protosam_1": (ProtoSAM(sam, config=coarse), 1),
        f"protosam_{MANY}": (ProtoSAM(sam, config=coarse), MANY),
        f"protosam_{MANY}_all": (ProtoSAM(sam, config=replace(coarse, nearest=None)), MANY),
        f"protosam_{MANY}_refined": (ProtoSAM(sam), MANY),
        f"universeg_{MANY}": (universeg, MANY),
        f"blend_{MANY}": ([universeg, ProtoSAM(sam, config=coarse)], MANY),
    }
    models = {name: side for name, side in models.items() if not arguments.only or name in arguments.only}
    tasks = {
        name: Segmenter(model).fit(support.images[:number], support.labels[:number])
        for name, (model, number) in models.items()
    }
    rng = np.random.default_rng(0)

    def new_image() -> np.ndarray:
        image = support.images[rng.integers(len(support.images))].astype(np.float32)
        return image + rng.uniform(0, 5, image.shape[:2] + (1,) * (image.ndim - 2))

    encoder = sides["encoder"]
    runs = {"encoder": lambda: np.asarray(sam.encode(encoder.view(new_image()).pixels[None]).early)}
    for name, task in tasks.items():
        runs[name] = lambda task=task: task.predict([new_image()])
    for task in tasks.values():
        task.predict(support.images)  # so that every example is encoded
    for call in itertools.chain(runs.values(), runs.values()):
        call()  # so that everything is compiled and prepared
    found = medians(in_turn(runs, runs=arguments.runs))
    results = {"machine": machine(), "runs": arguments.runs, **{name: round(value, 4) for name, value in found.items()}}
    arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name in runs:
        print(f"{name:24} {found[f'{name}_seconds']:.3f} s, {found[f'{name}_processor_seconds']:.3f} processor seconds")


if __name__ == "__main__":
    run(main)
