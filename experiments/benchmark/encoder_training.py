"""Time and memory of a self-supervised training step of an encoder, next to the same step in PyTorch.

    python -m experiments.benchmark.encoder_training --out experiments/results
    python -m experiments.benchmark.encoder_training --out experiments/results --memory

Networks are a DINOv2-S at 252 pixels and LiteMedSAM's TinyViT at 256 pixels. Both sides have the same random weights,
episode, losses (ALPNet's) and optimiser (SGD), and run in turn in one process. Loss and gradient norm of the first step
must agree. A step of LoRA adapters is timed too. Peak memory is measured in a process for each side, libraries
included. On a quiet machine of two cores each command takes three minutes. Both write to the same file.
"""

import argparse
import json
import multiprocessing
import resource
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.benchmark.sides import processors
from experiments.benchmark.turns import in_turn, medians, ratio

NETWORKS = {"DINOv2-S": 252, "TinyViT": 256}
"""Side of the images in pixels."""

RATE = 1e-3
LARGEST_DIFFERENCE = 1e-3  # of loss and gradient norm, relative

Step = Callable[[], tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of encoder_training.json")
    parser.add_argument("--runs", type=int, default=5, help="steps of each side (default: %(default)s)")
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="networks to measure (default: all)"
    )
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    arguments = parser.parse_args()
    file = arguments.out / "encoder_training.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = json.loads(file.read_text()) if file.exists() else {}
    own = {
        "command": shlex.join(["python", "-m", "experiments.benchmark.encoder_training", *sys.argv[1:]]),
        "machine": machine(),
    }
    results["memory" if arguments.memory else "time"] = own
    for name in arguments.networks:
        own[name] = memory(name) if arguments.memory else times(name, arguments.runs)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def times(name: str, runs: int) -> dict:
    """Return the times of both sides and their ratio."""
    made = inputs(name)
    sides = {"ours": ours(*made), "pytorch": pytorch(*made), "ours_lora": ours(*made, lora_rank=4)}
    first = {side: np.array(step()) for side, step in sides.items()}
    difference = float(np.abs(first["ours"] / first["pytorch"] - 1).max())
    if not difference < LARGEST_DIFFERENCE:
        raise AssertionError(f"loss and gradient norm are {first}")
    taken = in_turn(sides, runs=runs)
    found = {"pixels": NETWORKS[name], "batch": 1, "difference": difference, **medians(taken)}
    return found | ratio(taken, ours="ours", theirs="pytorch")


def inputs(name: str) -> tuple:
    """Return a random network, images (2,S,S) in [0,1] and masks (2,S,S), of support and query."""
    from dataclasses import replace

    from flax import nnx

    from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
    from universeg_jax.models.sam.model import SAM, SAMConfig

    size = NETWORKS[name]
    if name == "DINOv2-S":
        # Positions for 18 x 18 patches, so that neither side interpolates them.
        config = DINOv2Config.vits14()
        network = DINOv2(replace(config, grid=size // config.patch), rngs=nnx.Rngs(0))
    else:
        network = SAM(SAMConfig.lite_medsam(), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    labels = np.zeros((2, size, size), np.float32)
    labels[0, 60:150, 40:160] = labels[1, 80:170, 50:170] = 1
    images = np.clip(rng.normal(0.4, 0.1, labels.shape) + 0.3 * labels, 0, 1).astype(np.float32)
    return network, images, labels


def ours(
    network, images: np.ndarray, labels: np.ndarray, *, checkpoint: bool = False, lora_rank: int | None = None
) -> Step:
    """Return a function that takes a step and returns its loss and gradient norm."""
    import jax

    from universeg_jax.data.augment import Policy
    from universeg_jax.data.episodes.draw import Episode
    from universeg_jax.train.config import Stage
    from universeg_jax.train.encoder.config import EncoderTrainConfig
    from universeg_jax.train.encoder.learner import EncoderLearner
    from universeg_jax.train.learner import initial_state
    from universeg_jax.train.step import Augmentation, TrainStep, on_one_device

    stage = Stage(size=images.shape[1], steps=10**6, batch_size=1, support_size=1, learning_rate=RATE)
    options = dict(checkpoint_activations=checkpoint, lora_rank=lora_rank)
    learner = EncoderLearner(EncoderTrainConfig(stages=(stage,), weights="random", **options), network)
    optimizer = learner.optimizer()
    state = [initial_state(learner.initial_parameters(), optimizer, frozen=learner.frozen_parameters())]
    take_step = on_one_device(TrainStep(learner.loss, optimizer, 0.0), Augmentation(Policy.none(), 0))
    pairs = images[:, None, ..., None], labels[:, None, ..., None]
    (support, target), (support_label, target_label) = pairs
    mask, number = np.ones((1, 1), bool), np.zeros(1, np.int32)
    batch = Episode(target, target_label, support[:, None], support_label[:, None], mask, number, number)
    batch = jax.device_put(batch)

    def step() -> tuple[float, float]:
        state[0], measures = take_step(state[0], batch)
        return float(measures.loss), float(measures.gradient_norm)

    return step


def pytorch(network, images: np.ndarray, labels: np.ndarray) -> Step:
    """Return the same in PyTorch, eager."""
    import torch

    from experiments.benchmark.encoders_by_torch import features_by_torch
    from tests.helpers.alp_by_torch import losses
    from universeg_jax.train.config import Stage
    from universeg_jax.train.encoder.config import EncoderTrainConfig
    from universeg_jax.train.encoder.learner import EncoderLearner

    torch.set_num_threads(processors())
    stage = Stage(size=images.shape[1], steps=1, batch_size=1, support_size=1, learning_rate=RATE)
    learner = EncoderLearner(EncoderTrainConfig(stages=(stage,), weights="random"), network)
    values = {name: torch.tensor(np.asarray(value)) for name, value in learner.frozen_parameters().items()}
    trained = {
        name: torch.tensor(np.asarray(value), requires_grad=True)
        for name, value in learner.initial_parameters().items()
    }
    optimizer = torch.optim.SGD(trained.values(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    pixels, masks = torch.tensor(images), torch.tensor(labels)

    def step() -> tuple[float, float]:
        optimizer.zero_grad()
        query_loss, aligned = losses(*features_by_torch(network, values | trained, pixels), *masks)
        loss = query_loss + aligned
        loss.backward()
        norm_of_all = torch.linalg.vector_norm(torch.stack([value.grad.norm() for value in trained.values()]))
        optimizer.step()
        return loss.item(), norm_of_all.item()

    return step


def memory(name: str) -> dict:
    """Return the peak memory of a process that takes two steps of one side, in megabytes, for each side."""
    found = {}
    for side in ("ours", "ours, checkpointed", "pytorch"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[side] = pool.apply(_peak_megabytes, (name, side))
    return {"pixels": NETWORKS[name], "batch": 1, "peak_megabytes": found}


def _peak_megabytes(name: str, side: str) -> int:
    made = inputs(name)
    step = pytorch(*made) if side == "pytorch" else ours(*made, checkpoint="checkpointed" in side)
    for _ in range(2):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
