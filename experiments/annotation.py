"""Claim: proposals save most of the painting, with `auto` more than with open-v4 alone; the order hardly matters.

    python -m experiments.annotation --sets a.npz b.npz c.npz --out experiments/results/annotation/auto

The truth plays the person who labels a folder with the page. The first image is drawn in full. After 1, 2, 4, 8 and 16
confirmed images, all others are proposed anew. Then the person opens the next image and proposes it from all confirmed
ones. A proposal with a Dice above 0.9 is confirmed as it is; another one is corrected to the truth, and every corrected
pixel counts. If corrections would touch as many pixels as the structure has, the person draws it in full. Drawing
everything by hand costs the foreground pixels of all images.

Each set is an npz file as `universeg-jax prepare` reads them; its labels above 0 are the structure. Finished rows stay
in results.json, and the same command adds the missing ones.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.app.propose import ENCODINGS, Proposer
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.data.readers.npz import load
from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.segmenter import Segmenter, keep_encodings
from universeg_jax.util.json_files import read_json, write_json

GOOD = 0.9  # Dice from which the person confirms a proposal
LOOK_AGAIN = (1, 2, 4, 8, 16)  # numbers of confirmed images after which all others are proposed anew
ORDERS = ("forecast", "random")


@dataclass(frozen=True)
class Work:
    """Cost of one folder of images.

    Attributes:
        images: number of images.
        by_hand: foreground pixels of all images.
        corrected: pixels that were corrected, and the pixels of images drawn in full.
        drawn: images that were drawn in full.
        confirmed: images whose proposal was confirmed unchanged.
        halfway: part of `corrected` that the first half of the images cost.
        error: wrong pixels in these proposals.
    """

    images: int
    by_hand: int
    corrected: int
    drawn: int
    confirmed: int
    halfway: int
    error: int


def annotate(
    segmenter: Callable[[], Segmenter], images: np.ndarray, truths: np.ndarray, order: str, *, seed: int = 0
) -> Work:
    """Annotate images (N,H,W) with truths (N,H,W) bool in a temporary folder.

    Args:
        segmenter: makes the segmenter.
        images: uint8.
        truths: masks of the structure.
        order: "forecast" takes the page's next image; "random" a fixed random order.
        seed: seed of the first image and the random order.
    """
    names = [f"{i:03d}" for i in range(len(images))]
    waiting = [names[i] for i in np.random.default_rng(seed).permutation(len(images))]
    truth = dict(zip(names, truths, strict=True))
    costs, drawn, confirmed, error = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(Path(folder) / f"{name}.png")
        workspace = Workspace(Path(folder))
        proposer = Proposer(workspace, segmenter)
        for done in tqdm(range(len(names)), desc=order, leave=False):
            proposer.prepare()  # as the page does while nobody waits
            if order == "forecast" and done in LOOK_AGAIN:
                _ = list(proposer.propose(waiting))
            name = workspace.next_to_look_at() if order == "forecast" and done else waiting[0]
            waiting.remove(name)
            mask, cost = truth[name], int(truth[name].sum())
            if done:
                _ = list(proposer.propose([name]))
                proposed = workspace.proposal(name).mask(0.5, (1,)) == 1
                wrong = int((proposed != mask).sum())
                if dice(proposed, mask) > GOOD:
                    mask, cost, confirmed, error = proposed, 0, confirmed + 1, error + wrong
                elif wrong < cost:
                    cost = wrong
                else:
                    drawn += 1
            else:
                drawn += 1
            costs.append(cost)
            workspace.save(name, mask.astype(int), seen="", confirm=True)
        assert all(workspace.state(name) is State.CONFIRMED for name in names)
    half = sum(costs[: len(costs) // 2])
    return Work(len(images), int(truths.sum()), sum(costs), drawn, confirmed, half, error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", type=Path, required=True, help="npz files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--model", default="auto", help="as for universeg-jax app (default: %(default)s)")
    parser.add_argument("--images", type=int, default=20, help="images of each set (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=1, help="random choices of images (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "results.json"
    rows = read_json(file)["rows"] if file.exists() else []
    known = {(row["set"], row["draw"], row["order"]) for row in rows}
    loaded = Segmenter(arguments.model)
    keep_encodings(loaded, ENCODINGS)
    for draw in range(arguments.draws):
        for path in arguments.sets:
            arrays = load(path)
            shown = np.flatnonzero((arrays["labels"] > 0).any(axis=(1, 2)))
            chosen = np.random.default_rng(draw).permutation(shown)[: arguments.images]
            images, truths = arrays["images"][chosen], arrays["labels"][chosen] > 0
            for order in ORDERS:
                if (path.stem, draw, order) in known:
                    continue
                work = annotate(lambda: loaded, images, truths, order, seed=draw)
                rows.append({"set": path.stem, "draw": draw, "order": order, **asdict(work)})
                command = f"python -m experiments.annotation --model {arguments.model} --images {arguments.images}"
                write_json(file, {"command": command, "machine": machine(), "rows": rows})
                (arguments.out / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


def table(rows: list[dict]) -> str:
    """Format rows as Markdown; draws are averaged."""
    lines = [
        "| set | order | images | drawn in full | confirmed as proposed | pixels, part of by hand | first half "
        "| wrong pixels left |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, order in dict.fromkeys((row["set"], row["order"]) for row in rows):
        own = [row for row in rows if (row["set"], row["order"]) == (name, order)]

        def part(key: str, own: list[dict] = own) -> float:
            return float(np.mean([row[key] / row["by_hand"] for row in own]))

        drawn, good = (np.mean([row[key] for row in own]) for key in ("drawn", "confirmed"))
        lines.append(
            f"| {name} | {order} | {own[0]['images']} | {drawn:.1f} | {good:.1f} | {part('corrected'):.2f} | "
            f"{part('halfway'):.2f} | {part('error'):.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
