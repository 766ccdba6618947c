"""Small networks of ProtoSAM with the same weights as the originals of the golden files.

The weights of a released state dict are drawn by name, so that no file needs to hold them: the same name and shape give
the same numbers here and where the golden files are made (`make_protosam_golden.py`).
"""

import zlib
from functools import cache
from pathlib import Path

import numpy as np

from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.models.sam.image_encoder import ImageEncoderConfig
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.weights.mapping import blueprint, get_parameters
from universeg_jax.weights.names.dinov2 import DINOV2_NETWORK, dinov2_table
from universeg_jax.weights.names.sam import SAM_NETWORK, sam_table

GOLDEN = Path(__file__).parent / "golden_protosam"

PLAIN = DINOv2Config(features=32, depth=2, heads=2, grid=4)
REGISTERS = DINOv2Config(features=32, depth=2, heads=2, grid=4, registers=4, gated=True)
_DECODER = dict(features=32, decoder_heads=2, decoder_mlp=64, iou_hidden=24)
VIT = SAMConfig(
    encoder=ImageEncoderConfig(features=32, depth=3, heads=2, global_blocks=(1,), window=3, mlp=2),
    input_size=80,
    decoder_epsilon=1e-6,  # as in Hugging Face's code, the original of its golden file
    **_DECODER,
)
# The last stage has 320 features. The original recognises a transition of stride 1 by this number.
TINY_VIT = SAMConfig(
    encoder=TinyViTConfig(
        features=(8, 16, 16, 320), depths=(1, 1, 2, 1), heads=(1, 2, 2, 10), windows=(3, 3, 4, 3), stem_stride=1
    ),
    input_size=20,
    mean=(0.0, 0.0, 0.0),
    deviation=(1.0, 1.0, 1.0),
    **_DECODER,
)


@cache
def released_state_dict(config: DINOv2Config | SAMConfig) -> dict[str, np.ndarray]:
    """Map released names to random tensors, about as large as trained ones."""
    if isinstance(config, DINOv2Config):
        parameters, table = get_parameters(blueprint(DINOv2, config)), dinov2_table(config)
    else:
        parameters, table = get_parameters(blueprint(SAM, config)), sam_table(config)
    return {entry.theirs: _random(entry.theirs, entry.shape(parameters)) for entry in table}


@cache
def dinov2(config: DINOv2Config) -> DINOv2:
    model = blueprint(DINOv2, config)
    DINOV2_NETWORK.fill(model, released_state_dict(config))
    return model


@cache
def sam(config: SAMConfig) -> SAM:
    model = blueprint(SAM, config)
    SAM_NETWORK.fill(model, released_state_dict(config))
    return model


def images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def _random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    values = rng.standard_normal(shape, np.float32)
    if len(shape) == 1:
        offset = 0 if name.endswith(("bias", "running_mean")) else 1
        return offset + np.float32(0.2) * values
    # Inputs of an output: of (in,out,kh,kw) in a transposed convolution, of (out,in,…) elsewhere.
    inputs = shape[0] if "output_upscaling" in name else int(np.prod(shape[1:]))
    large = ("attention_biases", "token", "embed", "rel_pos", "gaussian")
    return values if any(part in name for part in large) and "proj" not in name else values / np.float32(inputs**0.5)
