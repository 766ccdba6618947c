"""The networks of ProtoSAM against other people's PyTorch code, stage by stage (`make_protosam_golden.py`)."""

import jax
import numpy as np
import pytest

from tests.helpers.protosam_networks import GOLDEN, PLAIN, REGISTERS, TINY_VIT, VIT, dinov2, images, sam
from tests.helpers.protosam_prompts import PROMPTS
from universeg_jax.nn.layers import gelu

pytestmark = pytest.mark.usefixtures("compiled_as_by_users")


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def assert_equal(ours, original):
    np.testing.assert_allclose(ours, original, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "kind", "seed", "batch", "rows", "columns"),
    [
        (PLAIN, "plain", 0, 2, 4, 4),
        (PLAIN, "plain", 0, 2, 5, 3),  # positions interpolated, without antialiasing
        (REGISTERS, "registers", 1, 1, 4, 4),
        (REGISTERS, "registers", 1, 1, 6, 3),  # with antialiasing
    ],
)
def test_dinov2(config, kind, seed, batch, rows, columns):
    original = golden("dinov2")
    tokens = dinov2(config)(images(seed, batch, 14 * rows, 14 * columns, 3), layers=(0, -1))
    first = 1 + config.registers
    for ours, name in ((tokens.patches, "tokens"), (tokens.layers[0], "first_block"), (tokens.layers[1], "tokens")):
        expected = original[f"{kind}_{rows}x{columns}_{name}"][:, first:]
        assert_equal(ours, expected.reshape(batch, rows, columns, -1))
    assert_equal(tokens.image, original[f"{kind}_{rows}x{columns}_tokens"][:, 0])


def test_the_image_encoder_of_sam():
    original = golden("sam")

    @jax.jit
    def stages(model, x):
        encoder = model.image_encoder
        standard = (x - np.float32(VIT.mean)) / np.float32(VIT.deviation)
        hidden = [encoder.patches(standard) + encoder.positions[...]]
        for block in encoder.blocks:
            hidden.append(block(hidden[-1]))
        return hidden, model.prompt_encoder.grid(5, 5), model.encode(x)

    hidden, grid, features = stages(sam(VIT), images(2, 1, 80, 80, 3))
    for i, ours in enumerate(hidden):
        assert_equal(ours, original[f"hidden_{i}"])
    assert_equal(grid, original["grid"])
    assert_equal(features.early, original["hidden_3"])
    assert_equal(features.embedding, original["embedding"])


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_and_masks_of_sam(kind):
    original = golden("sam")
    logits, iou = sam(VIT).decode(original["embedding"], **PROMPTS[kind])
    assert_equal(logits, original[f"{kind}_logits"])
    assert_equal(iou, original[f"{kind}_iou"])


def test_tiny_vit():
    original = golden("tiny_vit")

    @jax.jit
    def stages(model, images):
        encoder, outputs = model.image_encoder, []
        x = encoder.stem[1](gelu(encoder.stem[0](images)))
        for i, stage in enumerate(encoder.stages):
            for block in stage:
                x = block(x)
            if i < len(encoder.merges):
                x = encoder.merges[i](x)
            outputs.append(x)
        return outputs, model.encode(images)

    outputs, features = stages(sam(TINY_VIT), images(3, 2, 20, 20, 3))
    for i, ours in enumerate(outputs):
        assert_equal(ours.reshape(2, -1, ours.shape[-1]), original[f"layer_{i}"])
    assert_equal(features.early, original["early"])
    assert_equal(features.embedding, original["embedding"])
