"""Time of a self-supervised training step of a DINOv2-S at 252 pixels, next to the same step in PyTorch.

    python -m experiments.benchmark.encoder_training --out experiments/results

Both sides have the same random weights, episode, losses (ALPNet's) and optimiser (SGD), and run in turn in one process.
Loss and gradient norm of the first step must agree. On a quiet machine of two cores it takes three minutes.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from experiments.benchmark.machine import machine
from experiments.benchmark.sides import processors
from experiments.benchmark.turns import in_turn, medians, ratio

SIZE, GRID, HEADS, PATCH = 252, 32, 6, 14
RATE = 1e-3
LARGEST_DIFFERENCE = 1e-3  # of loss and gradient norm, relative


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of encoder_training.json")
    parser.add_argument("--runs", type=int, default=5, help="steps of each side (default: %(default)s)")
    arguments = parser.parse_args()
    network, images, labels = inputs()
    sides = {"ours": ours(network, images, labels), "pytorch": pytorch(network, images, labels)}
    first = {name: np.array(step()) for name, step in sides.items()}
    difference = float(np.abs(first["ours"] / first["pytorch"] - 1).max())
    if not difference < LARGEST_DIFFERENCE:
        raise AssertionError(f"loss and gradient norm are {first}")
    taken = in_turn(sides, runs=arguments.runs)
    results = {
        "command": shlex.join(["python", "-m", "experiments.benchmark.encoder_training", *sys.argv[1:]]),
        "machine": machine(),
        "network": f"DINOv2-S, {SIZE} px, batch 1",
        "difference": difference,
        **medians(taken),
        **ratio(taken, ours="ours", theirs="pytorch"),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "encoder_training.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def inputs() -> tuple:
    """Return a random DINOv2-S, images (2,S,S) in [0,1] and masks (2,S,S), of support and query."""
    from dataclasses import replace

    from flax import nnx

    from universeg_jax.models.dinov2 import DINOv2, DINOv2Config

    # Positions for 18 x 18 patches, so that neither side interpolates them.
    network = DINOv2(replace(DINOv2Config.vits14(), grid=SIZE // PATCH), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    labels = np.zeros((2, SIZE, SIZE), np.float32)
    labels[0, 60:150, 40:160] = labels[1, 80:170, 50:170] = 1
    images = np.clip(rng.normal(0.4, 0.1, labels.shape) + 0.3 * labels, 0, 1).astype(np.float32)
    return network, images, labels


def ours(network, images: np.ndarray, labels: np.ndarray) -> Callable[[], tuple[float, float]]:
    """Return a function that takes a step and returns its loss and gradient norm."""
    from universeg_jax.data.augment import Policy
    from universeg_jax.data.episodes.draw import Episode
    from universeg_jax.train.config import Stage
    from universeg_jax.train.encoder.config import EncoderTrainConfig
    from universeg_jax.train.encoder.learner import EncoderLearner
    from universeg_jax.train.state import initial_state
    from universeg_jax.train.step import Augmentation, TrainStep, on_one_device

    stage = Stage(size=SIZE, steps=10**6, batch_size=1, support_size=1, learning_rate=RATE)
    learner = EncoderLearner(EncoderTrainConfig(stages=(stage,), weights="random"), network)
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


def pytorch(network, images: np.ndarray, labels: np.ndarray) -> Callable[[], tuple[float, float]]:
    """Return the same in PyTorch, eager, written from the description of the network and its losses."""
    import torch
    from torch.nn import functional

    from tests.helpers.alp_by_torch import losses
    from universeg_jax.models.protosam.encoder import IMAGENET_DEVIATION, IMAGENET_MEAN
    from universeg_jax.weights.mapping import get_parameters, trainable_names

    torch.set_num_threads(processors())
    values = get_parameters(network)
    p = {name: torch.tensor(np.asarray(values[name]), requires_grad=True) for name in trainable_names(network)}
    optimizer = torch.optim.SGD(p.values(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    mean, deviation = (torch.tensor(colour)[:, None, None] for colour in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    pixels = (torch.tensor(images)[:, None].expand(-1, 3, -1, -1) - mean) / deviation
    masks = torch.tensor(labels)

    def linear(x, name):
        return x @ p[f"{name}.kernel"] + p[f"{name}.bias"]

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], p[f"{name}.scale"], p[f"{name}.bias"], eps=1e-6)

    def block(x, name):
        qkv = linear(norm(x, f"{name}.attention_norm"), f"{name}.qkv")
        q, k, v = qkv.reshape(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + p[f"{name}.attention_scale"] * linear(mixed, f"{name}.out")
        hidden = functional.gelu(linear(norm(x, f"{name}.mlp_norm"), f"{name}.widen"))
        return x + p[f"{name}.mlp_scale"] * linear(hidden, f"{name}.narrow")

    def features():
        kernel = p["patches.kernel"].permute(3, 2, 0, 1)
        x = functional.conv2d(pixels, kernel, p["patches.bias"], stride=PATCH).flatten(2).transpose(1, 2)
        x = torch.cat([p["class_token"].expand(len(x), -1, -1), x], dim=1) + p["positions"]
        for i in range(network.config.depth):
            x = block(x, f"blocks.{i}")
        side = SIZE // PATCH
        maps = norm(x, "norm")[:, 1:].transpose(1, 2).reshape(len(x), -1, side, side)
        return functional.interpolate(maps, size=(GRID, GRID), mode="bilinear", align_corners=False)

    def step() -> tuple[float, float]:
        optimizer.zero_grad()
        query_loss, aligned = losses(*features(), *masks)
        loss = query_loss + aligned
        loss.backward()
        norm_of_all = torch.linalg.vector_norm(torch.stack([value.grad.norm() for value in p.values()]))
        optimizer.step()
        return loss.item(), norm_of_all.item()

    return step


if __name__ == "__main__":
    main()
