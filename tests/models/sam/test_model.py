"""Input that a SAM takes and refuses, beyond the golden files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.helpers.protosam_networks import TINY_VIT, VIT, images, sam
from tests.helpers.protosam_prompts import PROMPTS
from universeg_jax.models.sam.image_encoder import ImageEncoderConfig
from universeg_jax.models.sam.mask_decoder import TwoWayAttention
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.weights.mapping import blueprint, get_parameters

EMBEDDING = images(7, 1, 5, 5, 32)


def test_presets_have_the_released_numbers_of_parameters():
    classifier = 320 + 320 + 320 * 1000 + 1000  # at the end of a TinyViT, for nothing here
    counts = {SAMConfig.vit_b(): 93_735_472, SAMConfig.mobile_sam(): 10_130_092 - classifier}
    for config, expected in counts.items():
        parameters = get_parameters(blueprint(SAM, config))
        statistics = ("mean", "variance", "frequencies")  # which the published numbers leave out
        counted = sum(value.size for name, value in parameters.items() if not name.endswith(statistics))
        assert counted == expected


def test_one_embedding_serves_all_prompts_as_a_copy_for_each_would():
    model, prompts = sam(VIT), PROMPTS["both"]
    shared = model.decode(EMBEDDING, **prompts)
    apart = jax.jit(lambda model, *args, **kwargs: model.decode(*args, **kwargs))(
        model, np.repeat(EMBEDDING, 3, axis=0), **prompts
    )
    for ours, expected in zip(shared, apart, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_an_image_that_is_not_square_is_filled_up_after_its_mean_was_subtracted():
    model = sam(VIT)
    image = images(8, 1, 80, 60, 3)
    filled = np.broadcast_to(np.float32(VIT.mean), (1, 80, 80, 3)).copy()
    filled[:, :, :60] = image
    np.testing.assert_allclose(model.encode(image).embedding, model.encode(filled).embedding, atol=1e-4)


@pytest.mark.parametrize("config", [VIT, TINY_VIT], ids=["vit", "tiny_vit"])
def test_bfloat16_is_what_is_computed_in_and_close(config):
    @jax.jit
    def outputs(model, images, embedding, points):
        features = model.encode(images)
        logits, iou = model.decode(embedding, points=points, point_labels=np.ones((1, 1), int))
        return features, logits, iou

    size = config.input_size
    x, embedding = jnp.asarray(images(9, 1, size, size, 3)), jnp.asarray(EMBEDDING)
    point = np.float32([[[size / 3, size / 2]]])
    exact = outputs(sam(config), x, embedding, point)
    ours = outputs(sam(config), x.astype(jnp.bfloat16), embedding.astype(jnp.bfloat16), point)
    for mine, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
        assert mine.dtype == jnp.bfloat16
        assert np.abs(mine.astype(np.float32) - expected).mean() < 0.02 * np.std(expected)


@pytest.mark.parametrize(("prompts", "pixels"), [(1, 400), (3, 400)])
def test_projecting_few_tokens_is_projecting_many_pixels(prompts, pixels):
    attention = TwoWayAttention(16, 8, heads=2, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for linear in (attention.query, attention.key, attention.value, attention.out):
        linear.bias[...] = rng.standard_normal(linear.bias.shape)
    tokens = rng.standard_normal((prompts, 2, 16), np.float32)
    places, image = rng.standard_normal((2, 1, pixels, 16), np.float32)

    @jax.jit
    def both_ways(attention, tokens, places, image):
        few = attention.of_few(tokens, places, image), attention(tokens, places, image)
        return few, (attention.of_many(places, tokens, 2 * tokens), attention(places, tokens, 2 * tokens))

    for ours, definition in both_ways(attention, tokens, places, image):
        np.testing.assert_allclose(ours, definition, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.encode(images(0, 1, 64, 64, 3)), "64x64; the longer side must be 80 pixels"),
        (lambda model: model.encode(images(0, 1, 80, 96, 3)), "80x96; the longer side must be 80"),
        (lambda model: model.encode(images(0, 1, 80, 64, 1)), r"shape \(1, 80, 64, 1\); it must be \(B,H,W,3\)"),
        (lambda model: model.encode(np.zeros((1, 80, 64, 3), np.uint8)), "images is uint8"),
        (lambda model: model.decode(EMBEDDING[0]), r"embedding has shape \(5, 5, 32\)"),
        (lambda model: model.decode(EMBEDDING, boxes=np.zeros((2, 2, 2))), r"boxes have shape \(2, 2, 2\)"),
        (
            lambda model: model.decode(EMBEDDING, points=np.zeros((1, 2, 3)), point_labels=np.zeros((1, 2), int)),
            r"points have shape \(1, 2, 3\)",
        ),
        (
            lambda model: model.decode(EMBEDDING, points=np.zeros((1, 2, 2)), point_labels=np.zeros((1, 2))),
            "point_labels are float32: pass integers",
        ),
        (lambda model: model.decode(EMBEDDING, points=np.zeros((1, 2, 2))), "points .* and point_labels .* together"),
        (
            lambda model: model.decode(EMBEDDING, points=np.zeros((1, 2, 2)), point_labels=np.zeros((1, 3), int)),
            "one label for each point",
        ),
        (lambda model: model.decode(EMBEDDING, mask=np.zeros((1, 8, 8, 1), np.float32)), r"must be \(B,20,20,1\)"),
        (
            lambda model: model.decode(EMBEDDING.repeat(2, 0), boxes=np.zeros((3, 4), np.float32)),
            r"2 embeddings and prompts for \[3\]",
        ),
        (
            lambda model: model.decode(EMBEDDING, boxes=np.zeros((2, 4)), mask=np.zeros((1, 20, 20, 1), np.float32)),
            r"prompts for \[1, 2\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(sam(VIT))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SAMConfig(input_size=1000), "1000 pixels is not divisible by 16"),
        (lambda: SAMConfig(features=100), "features=100"),
        (lambda: ImageEncoderConfig(features=100), "heads=12"),
        (lambda: TinyViTConfig(depths=(2, 2)), "for each stage"),
        (lambda: TinyViTConfig(stem_stride=3), "stem_stride=3: pass a whole number at least 1 and at most 2"),
        (lambda: TinyViTConfig(heads=(2, 3, 5, 10)), "divisible by heads"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_grids_of_presets():
    assert [config.grid_size for config in (SAMConfig.vit_h(), SAMConfig.mobile_sam(), SAMConfig.lite_medsam())] == [
        64,
        64,
        64,
    ]
    assert TINY_VIT.grid_size == 5
