"""One training step of LoRA adapters on a tiny DINOv2: its inputs, and the file of its results in PyTorch."""

from pathlib import Path

import numpy as np

from tests.helpers.tiny_encoder import NETWORK, SIZE, config
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.train.encoder.config import EncoderTrainConfig, SGDConfig
from universeg_jax.weights.lora import adapted_kernels
from universeg_jax.weights.mapping import get_parameters

GOLDEN = Path(__file__).parent / "golden_protosam" / "lora_step.npz"
DECAY = 0.1


def lora_config() -> EncoderTrainConfig:
    """A run with LoRA of rank 2 and a weight decay that shows."""
    return config(lora_rank=2, optimizer=SGDConfig(momentum=0.9, weight_decay=DECAY))


def adapters() -> dict[str, np.ndarray]:
    """Random adapters. Neither half is zero, so that both get gradients."""
    rng = np.random.default_rng(0)
    made = {}
    for name, kernel in sorted(
        (name, get_parameters(NETWORK)[name]) for name in adapted_kernels(get_parameters(NETWORK))
    ):
        made[name + ".lora_down"] = rng.normal(0, 0.5, (kernel.shape[0], 2)).astype(np.float32)
        made[name + ".lora_up"] = rng.normal(0, 0.1, (2, kernel.shape[1])).astype(np.float32)
    return made


def batch() -> Episode:
    """One episode: a bright square, and the same in another place."""
    rng = np.random.default_rng(1)
    labels = np.zeros((2, SIZE, SIZE), np.float32)
    labels[0, 4:20, 6:24] = labels[1, 8:24, 10:28] = 1
    images = np.clip(rng.normal(0.4, 0.1, labels.shape) + 0.3 * labels, 0, 1).astype(np.float32)[:, None, ..., None]
    labels = labels[:, None, ..., None]
    mask, number = np.ones((1, 1), bool), np.zeros(1, np.int32)
    return Episode(images[1], labels[1], images[:1], labels[:1], mask, number, number)
