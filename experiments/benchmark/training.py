"""Compare the time of a training step with the official PyTorch model: forward, backward and update.

    PYTHONPATH=/path/to/UniverSeg python -m experiments.benchmark.training --out experiments/results

The authors released no training code, so their model gets the same loss, clipping and optimiser (Adam) in PyTorch's
own form. Without the official code, ours is measured alone. On a quiet machine of two cores it takes three minutes.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import universeg_jax as uj
from experiments.benchmark.machine import machine
from experiments.benchmark.sides import load_official, official_is_here, processors
from experiments.benchmark.turns import in_turn, medians, ratio
from experiments.command import run
from universeg_jax.data.augment import Policy
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.train.config import Stage, TrainConfig
from universeg_jax.train.learner import TrainState, UniverSegLearner, initial_state
from universeg_jax.train.step import Augmentation, TrainStep, on_one_device
from universeg_jax.weights.mapping import get_parameters

LARGEST_DIFFERENCE = 1e-4  # of the loss, and of the norm of the gradient, relative
CASES = ((1, 16, 128), (4, 8, 64), (1, 64, 64))  # episodes, support entries, pixels
RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of training_speed.{json,md}")
    parser.add_argument("--runs", type=int, default=9, help="steps of each side (default: %(default)s)")
    arguments = parser.parse_args()
    with_official = official_is_here()
    if not with_official:
        print("PyTorch or the official code (its repository on PYTHONPATH) is not here: ours alone is measured")
    rows = []
    for case in CASES:
        rows.append(measure(*case, runs=arguments.runs, with_official=with_official))
        print(json.dumps(rows[-1]), flush=True)
    command = shlex.join(["python", "-m", "experiments.benchmark.training", *sys.argv[1:]])
    results = {"command": command, "machine": machine(), "rows": rows}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "training_speed.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "training_speed.md").write_text(_table(results), encoding="utf-8")


def measure(episodes: int, entries: int, size: int, *, runs: int, with_official: bool) -> dict:
    """Measure median seconds of a step of each side, and the median ratio of consecutive steps."""
    batch = random_batch(episodes, entries, size)
    sides: dict[str, Callable[[], tuple[float, float]]] = {"ours": ours(batch)}
    if with_official:
        sides["official"] = official(batch, threads=processors())
    first = {name: np.array(step()) for name, step in sides.items()}  # compiles, and warms up
    result = {"episodes": episodes, "entries": entries, "size": size, "runs": runs}
    if with_official:
        difference = np.abs(first["ours"] / first["official"] - 1).max()
        if not difference < LARGEST_DIFFERENCE:
            raise AssertionError(f"{result}: loss and norm of the gradient are {first}")
        result["difference"] = float(difference)
    taken = in_turn(sides, runs=runs)
    result |= medians(taken)
    if with_official:
        result |= ratio(taken, ours="ours", theirs="official")
    return result


def random_batch(episodes: int, entries: int, size: int) -> Episode:
    """Make episodes of random pixels, each with its own support set."""
    rng = np.random.default_rng(0)
    images = rng.random((episodes, 1 + entries, size, size, 1), np.float32)
    labels = (rng.random(images.shape) > 0.5).astype(np.float32)
    mask, numbers = np.ones((episodes, entries), bool), np.arange(episodes, dtype=np.int32)
    return Episode(images[:, 0], labels[:, 0], images[:, 1:], labels[:, 1:], mask, numbers, numbers)


def ours(batch: Episode, **options) -> Callable[[], tuple[float, float]]:
    """Make a function that takes the next step and returns the loss and the norm of its gradient.

    Args:
        options: fields of the `TrainConfig`.
    """
    size, (episodes, entries) = batch.target.shape[1], batch.support_mask.shape
    stage = Stage(size=size, steps=10**6, batch_size=episodes, support_size=entries, learning_rate=RATE)
    config = TrainConfig(stages=(stage,), **options)
    model, learner = uj.universeg(config=config.model), UniverSegLearner(config)
    optimizer = learner.optimizer()
    state: list[TrainState] = [initial_state(get_parameters(model), optimizer)]
    take_step = on_one_device(TrainStep(learner.loss, optimizer, config.ema), Augmentation(Policy.none(), 0))
    arrays = jax.tree.map(jnp.asarray, batch)

    def step() -> tuple[float, float]:
        state[0], measures = take_step(state[0], arrays)
        return float(measures.loss), float(measures.gradient_norm)

    return step


def official(
    batch: Episode, *, threads: int, device: str = "cpu", dtype: str = "float32", compiled: bool = False
) -> Callable[[], tuple[float, float]]:
    """Make the same function with the official model; bfloat16 uses autocast."""
    import torch

    torch.set_num_threads(threads)
    model = load_official().train().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    arrays = [torch.from_numpy(np.moveaxis(x, -1, -3).copy()).to(device) for x in batch[:4]]
    target, truth, images, labels = arrays
    network = torch.compile(model) if compiled else model

    def step() -> tuple[float, float]:
        optimizer.zero_grad()
        with torch.autocast(device, getattr(torch, dtype), enabled=dtype != "float32"):
            logits = network(target, images, labels).float()
        loss = torch_loss(logits, truth)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item(), norm.item()

    return step


def torch_loss(logits, labels):
    """Compute soft Dice plus half the cross-entropy of PyTorch tensors (B,1,H,W)."""
    import torch

    probabilities, axes = torch.sigmoid(logits), (1, 2, 3)
    total = (probabilities**2).sum(axes) + (labels**2).sum(axes)
    dice = 1 - (2 * (probabilities * labels).sum(axes) + 1e-7) / (total + 1e-7)
    return dice.mean() + 0.5 * torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)


def _table(results: dict) -> str:
    place = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items() if version)
    lines = [
        "# Training steps compared with the official PyTorch model",
        "",
        f"`{results['command']}`",
        "",
        f"{place['processor']}, {place['cores']} cores, Python {place['python']}, {versions}. float32; "
        "forward, backward, clipping and Adam (ours also the moving average); medians of steps in turn in one process. "
        "Differences are relative, of the loss and of the norm of the gradient.",
        "",
        "| episodes | support | size | ours (s) | official (s) | times faster | range | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        cells = [row["episodes"], row["entries"], row["size"], f"{row['ours_seconds']:.3f}"]
        if "ratio" in row:
            low, high = row["ratio_range"]
            cells += [f"{row['official_seconds']:.3f}", f"**{row['ratio']:.2f}**", f"{low:.2f}-{high:.2f}"]
            cells.append(f"{row['difference']:.0e}")
        else:
            cells += ["-"] * 4
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
