"""Claim: proposals save most of the painting, and looking at the lowest forecast first saves more than a random order.

    python -m experiments.annotation --sets dsb2018_nuclei.npz hc18.npz lung.npz --out experiments/results/annotation

The truth plays the person. Each image is proposed from the images that are done. A proposal with a Dice above 0.9 is
confirmed as it is; another one is corrected to the truth, and every corrected pixel counts. The first image has no
proposal and is painted in full. Drawing everything by hand costs the foreground pixels of all images. Each set is an
npz file as `universeg-jax prepare` reads them; its labels above 0 are the structure.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.data.readers.npz import load
from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.forecast import certainty
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.util.json_files import write_json

GOOD = 0.9  # Dice from which the person confirms a proposal
LOOK_AGAIN = (1, 2, 4, 8, 16)  # numbers of confirmed images after which all others are proposed anew


@dataclass(frozen=True)
class Work:
    """Cost of one folder of images.

    Attributes:
        images: number of images.
        by_hand: foreground pixels of all images.
        corrected: pixels that differed between proposals and truth, and the pixels of images painted in full.
        confirmed: images whose proposal was good as it was.
        halfway: part of `corrected` that the first half of the images cost.
    """

    images: int
    by_hand: int
    corrected: int
    confirmed: int
    halfway: int


def annotate(segmenter: Segmenter, images: np.ndarray, truths: np.ndarray, order: str, *, seed: int = 0) -> Work:
    """Annotate images (N,H,W) with truths (N,H,W) bool, in the order "forecast" or "random"."""
    rng = np.random.default_rng(seed)
    left = rng.permutation(len(images)).tolist()
    done: list[int] = []
    forecasts: dict[int, float] = {}
    costs, confirmed = [], 0
    for _ in tqdm(images, desc=order, leave=False):
        if order == "forecast" and len(done) in LOOK_AGAIN:
            task = segmenter.fit(list(images[done]), list(truths[done]))
            probabilities = task.predict_proba(list(images[left]))
            forecasts = {i: certainty(one) for i, one in zip(left, probabilities, strict=True)}
        chosen = min(left, key=lambda i: forecasts.get(i, 1.0)) if order == "forecast" and done else left[0]
        left.remove(chosen)
        if done:
            proposed = segmenter.fit(list(images[done]), list(truths[done])).predict([images[chosen]])[0]
            good = dice(proposed, truths[chosen]) > GOOD
            costs.append(0 if good else int((proposed != truths[chosen]).sum()))
            confirmed += good
        else:
            costs.append(int(truths[chosen].sum()))
        done.append(chosen)
    half = sum(costs[: len(costs) // 2])
    return Work(len(images), int(truths.sum()), sum(costs), confirmed, half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", type=Path, required=True, help="npz files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--model", default="open-v4", help="as for universeg-jax predict (default: %(default)s)")
    parser.add_argument("--images", type=int, default=24, help="images of each set (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=2, help="random choices of images (default: %(default)s)")
    arguments = parser.parse_args()
    segmenter, rows = Segmenter(arguments.model), []
    for file in arguments.sets:
        arrays = load(file)
        shown = np.flatnonzero((arrays["labels"] > 0).any(axis=(1, 2)))
        for draw in range(arguments.draws):
            chosen = np.random.default_rng(draw).permutation(shown)[: arguments.images]
            images, truths = arrays["images"][chosen], arrays["labels"][chosen] > 0
            for order in ("forecast", "random"):
                work = annotate(segmenter, images, truths, order, seed=draw)
                rows.append({"set": file.stem, "draw": draw, "order": order, **asdict(work)})
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = f"python -m experiments.annotation --model {arguments.model} --images {arguments.images}"
    write_json(arguments.out / "results.json", {"command": command, "machine": machine(), "rows": rows})
    (arguments.out / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


def table(rows: list[dict]) -> str:
    """Format rows as Markdown; draws are averaged."""
    lines = [
        "| set | order | images | confirmed as proposed | corrected pixels, part of by hand | first half |",
        "|---|---|---|---|---|---|",
    ]
    for name, order in dict.fromkeys((row["set"], row["order"]) for row in rows):
        own = [row for row in rows if (row["set"], row["order"]) == (name, order)]
        part = np.mean([row["corrected"] / row["by_hand"] for row in own])
        half = np.mean([row["halfway"] / row["by_hand"] for row in own])
        good = np.mean([row["confirmed"] for row in own])
        lines.append(f"| {name} | {order} | {own[0]['images']} | {good:.1f} | {part:.2f} | {half:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
