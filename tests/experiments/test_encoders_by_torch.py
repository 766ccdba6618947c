"""The encoders that PyTorch's training step is timed with compute the features of this library."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.helpers.tiny_encoder import NETWORK
from universeg_jax.models.protosam.encoder import extractor_of
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.weights.mapping import get_parameters

pytestmark = pytest.mark.compare  # needs PyTorch


def tiny_sam() -> SAM:
    encoder = TinyViTConfig(features=(8, 16, 20, 40), depths=(1, 1, 1, 1), stem_stride=1)
    small = dict(features=32, decoder_heads=2, decoder_mlp=16, mask_features=4, iou_hidden=8)
    return SAM(SAMConfig(encoder, 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), **small), rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("make", "size"), [(lambda: NETWORK, 32), (tiny_sam, 64)], ids=["DINOv2", "TinyViT"])
def test_features_are_those_of_this_library(make, size):
    import torch

    from experiments.benchmark.encoders_by_torch import features_by_torch

    network, images = make(), np.random.default_rng(0).random((2, size, size)).astype(np.float32)
    expected = extractor_of(network, size=size)(jnp.repeat(images[..., None], 3, axis=-1))
    values = {name: torch.tensor(np.asarray(value)) for name, value in get_parameters(network).items()}
    found = features_by_torch(network, values, torch.tensor(images)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
