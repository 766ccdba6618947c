"""Claim: Dice in bfloat16 is within 0.002 of Dice in float32 on data the weights have not seen.

    python -m experiments.precision wbc_jtsc.npz acdc_train.npz dental_panoramic.npz --out experiments/results

Each NAME.npz holds images (N,H,W) uint8 and labels (N,H,W) uint8; label 0 is background. The sets named above are from
public sources (WBC: zxaoyou/segmentation_WBC; ACDC; dental panoramic X-rays). Every class that 48 images show is a
binary task of 16 support images and 32 targets, drawn with a seed. Two CPU cores take three minutes.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.cli.shared import add_weights
from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.segmenter import Segmenter

SUPPORT, TARGETS = 16, 32


def measure(segmenters: dict[str, Segmenter], images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compute the mean Dice of the targets for each segmenter, with the same support."""
    result = {}
    for name, segmenter in segmenters.items():
        masks = segmenter.fit(images[:SUPPORT], labels[:SUPPORT]).predict(images[SUPPORT:])
        result[name] = float(np.mean([dice(*pair) for pair in zip(masks, labels[SUPPORT:], strict=True)]))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="NPZ")
    add_weights(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of precision.json")
    arguments = parser.parse_args()
    segmenters = {dtype: Segmenter(arguments.weights, dtype=dtype) for dtype in ("float32", "bfloat16")}
    rows = []
    for path in arguments.sets:
        with np.load(path) as file:
            images, labels = file["images"], file["labels"]
        for value in np.unique(labels)[1:]:
            showing = np.flatnonzero((labels == value).any(axis=(1, 2)))
            if len(showing) < SUPPORT + TARGETS:
                continue
            drawn = np.random.default_rng(0).permutation(showing)[: SUPPORT + TARGETS]
            found = measure(segmenters, images[drawn], labels[drawn] == value)
            rows.append({"set": path.stem, "class": int(value), **found})
            print(json.dumps(rows[-1]), flush=True)
    largest = max(abs(row["float32"] - row["bfloat16"]) for row in rows)
    print(f"largest difference of mean Dice: {largest:.4f}")
    results = {"weights": arguments.weights, "machine": machine(), "tasks": rows, "largest_difference": largest}
    (arguments.out / "precision.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
