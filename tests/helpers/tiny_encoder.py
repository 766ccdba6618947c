"""A tiny DINOv2, scans and a configuration, for tests of self-supervised training."""

from flax import nnx

from tests.helpers.stacks import stack
from universeg_jax.data.episodes.pseudo_labels import PseudoLabelConfig
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.train.config import Stage
from universeg_jax.train.encoder.config import EncoderTrainConfig

SIZE = 32
NETWORK = DINOv2(DINOv2Config(features=8, depth=1, heads=2, patch=4, grid=8), rngs=nnx.Rngs(0))
STAGE = Stage(size=SIZE, steps=4, batch_size=2, support_size=1, learning_rate=1e-2)
STACKS = [stack(f"scan{i}", seed=i, size=SIZE) for i in range(3)]


def config(**options) -> EncoderTrainConfig:
    """A run of 4 steps."""
    given = dict(stages=(STAGE,), weights="tiny", validation_episodes=2, save_every=2, validate_every=4)
    return EncoderTrainConfig(**given | dict(pseudo_labels=PseudoLabelConfig(min_size=20)) | options)
