from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.squares import BLUE, RED, SIZE, SUPPORT, corner, masks_of, predictor, scene
from universeg_jax.models.in_context import InContextModel
from universeg_jax.models.protosam.config import (
    ALPConfig,
    ComponentsConfig,
    Keep,
    LinearConfig,
    MaskChoice,
    MaskPrompt,
    PromptsConfig,
    ProtoSAMConfig,
    RefinementConfig,
    Turn,
)
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters

ALL = ComponentsConfig(keep=Keep.ALL)
ALWAYS = RefinementConfig.always()


def test_it_is_an_in_context_model():
    assert isinstance(ProtoSAM(PaintingSAM()), InContextModel)


def test_coarse_only_finds_what_looks_like_the_foreground():
    sam = PaintingSAM()
    image, truth = corner(8, 12, 16)
    task = predictor(sam=sam, refinement=None)
    assert (masks_of(task, image)[0] != (truth > 0)).sum() <= 2  # corners, rounded when resized
    assert sam.decoded == []


def test_the_decoder_is_asked_for_the_box_of_each_component():
    image, truth = scene((2, 2, 6, RED), (20, 12, 8, RED), (2, 20, 6, BLUE))
    task = predictor(refinement=RefinementConfig.always(MaskChoice.BEST_OF_FOUR), components=ALL)
    expected = np.zeros_like(truth)
    expected[0:10, 0:10] = expected[18:30, 10:22] = 1  # mask 2, whose predicted IoU is highest, is 2 pixels wider
    np.testing.assert_array_equal(masks_of(task, image)[0], expected > 0)


@pytest.mark.parametrize(
    ("choice", "wider"),
    [
        (MaskChoice.SINGLE, 0),
        (MaskChoice.FIRST_OF_THREE, 1),
        (MaskChoice.BEST_OF_THREE, 2),
        (MaskChoice.UNION_OF_THREE, 3),
    ],
)
def test_which_mask_is_taken(choice, wider):
    image, _ = scene((8, 8, 10, RED))
    task = predictor(refinement=RefinementConfig.always(choice))
    (mask,) = masks_of(task, image)
    assert mask.sum() == (10 + 2 * wider) ** 2


def test_which_components_are_kept():
    image, _ = scene((2, 2, 6, RED), (20, 12, 8, RED))
    for keep, pixels in [(Keep.ALL, 100), (Keep.MOST_CONFIDENT, 64), (Keep.AS_SUPPORT, 64)]:
        task = predictor(components=ComponentsConfig(keep=keep), refinement=ALWAYS)
        assert masks_of(task, image)[0].sum() == pixels
    two = predictor(support=scene((2, 2, 6, RED), (20, 12, 8, RED)), refinement=None)
    assert two.in_support == (2,)
    assert masks_of(two, image)[0].sum() == 100


def test_many_components_in_the_support_are_countless():
    cells = [(2 + 10 * (i // 3), 2 + 10 * (i % 3), 6, RED) for i in range(9)]
    image, truth = scene(*cells)
    task = predictor(support=scene(*cells[:5]), refinement=None, alp=ALPConfig())
    assert task.in_support == (None,)
    assert np.asarray(task.coarse.prototypes((0,))[0].position_weight).tolist() == [0]
    np.testing.assert_array_equal(masks_of(task, image)[0], truth > 0)
    counted = predictor(support=scene(*cells[:5]), refinement=None, countless=5)
    assert counted.in_support == (5,)
    assert masks_of(counted, image)[0].sum() == 5 * 36


def test_components_beyond_the_limit_stay_coarse():
    image, truth = scene((2, 2, 6, RED), (20, 12, 8, RED))
    refinement = RefinementConfig.always(MaskChoice.FIRST_OF_THREE)
    task = predictor(components=ComponentsConfig(keep=Keep.ALL, at_most=1), refinement=refinement)
    expected = truth.copy()
    expected[19:29, 11:21] = 1
    np.testing.assert_array_equal(masks_of(task, image)[0], expected > 0)


def test_a_decoder_that_cannot_draw_the_support_is_not_asked():
    sam = PaintingSAM()
    task = predictor(support=corner(4, 4, 12), sam=sam, refinement=replace(ALWAYS, support_dice=0.9))
    assert task.refined == (False,)
    image, truth = corner(8, 12, 16)
    assert (masks_of(task, image)[0] != (truth > 0)).sum() <= 2
    assert sam.decoded == [1]  # for the support alone
    assert predictor(refinement=replace(ALWAYS, support_dice=0.9)).refined == (True,)


def test_disagreement_and_boxes_of_the_whole_image_stay_coarse():
    image, truth = corner(8, 12, 16)  # the box has an IoU of 3/4 with the mask
    for agreement, refined in [(0.7, True), (0.8, False)]:
        task = predictor(refinement=replace(ALWAYS, agreement=agreement))
        assert (masks_of(task, image)[0].sum() > truth.sum()) == refined
    for largest, refined in [(0.3, True), (0.2, False)]:
        task = predictor(refinement=replace(ALWAYS, largest_box=largest))
        assert (masks_of(task, image)[0].sum() > truth.sum()) == refined


def test_what_the_decoder_is_not_sure_of_stays_coarse():
    image, truth = corner(8, 12, 16)
    sam = PaintingSAM(logit=1.5)  # all of it below the logit of 2
    assert masks_of(predictor(sam=sam, refinement=ALWAYS), image)[0].sum() > truth.sum()
    unsure = predictor(sam=sam, refinement=replace(ALWAYS, stability=0.5))
    assert masks_of(unsure, image)[0].sum() <= truth.sum()


def test_coarse_logits_have_their_weight():
    image, truth = corner(8, 12, 16)
    strong = predictor(refinement=replace(ALWAYS, coarse_weight=5.0))
    assert (masks_of(strong, image)[0] != (truth > 0)).sum() <= 2


def test_nothing_found_is_an_empty_mask():
    image, _ = scene((8, 8, 10, BLUE))
    constant = np.full_like(image, 0.5)
    for task in (predictor(refinement=ALWAYS), predictor(refinement=None)):
        logits = np.asarray(task(np.stack([image, constant])))
        assert logits.shape == (1, 2, SIZE, SIZE, 1)
        assert (logits < 0).all()


@pytest.mark.parametrize("refinement", [None, RefinementConfig(), ALWAYS], ids=["coarse", "default", "always"])
def test_empty_and_full_support_masks_are_defined(refinement):
    image, mask = SUPPORT
    other, _ = scene((8, 8, 10, RED))
    empty = predictor(support=(image, 0 * mask), refinement=refinement)
    assert not masks_of(empty, other).any()
    full = predictor(support=(image, 0 * mask + 1), refinement=refinement)
    assert masks_of(full, other).all()


def test_many_targets_and_classes_are_decoded_together_and_as_alone():
    sam = PaintingSAM()
    images = [scene((2 * i, 2 * i + 1, 9, RED), (20, 2, 8, BLUE))[0] for i in range(5)]
    red = SUPPORT[1]
    blue = scene((20, 20, 8, RED))[1]
    labels = np.stack([1 - red - blue, red, blue])[:, None, ..., None]
    config = ProtoSAMConfig(linear=None, refinement=RefinementConfig(support_dice=0.95))
    task = ProtoSAM(sam, config=config).prepare(SUPPORT[0][None], labels, np.ones((3, 1), bool))
    assert task.refined == (False, True, True)  # the background is what they leave
    together = np.asarray(task(np.stack(images)))
    assert together.shape == (3, 5, SIZE, SIZE, 1)
    assert sum(sam.encoded) == 6  # the support image once
    assert sam.decoded == [2, 8, 2]  # two classes of the support; ten prompts in all
    for i, image in enumerate(images):
        np.testing.assert_allclose(task(image[None])[:, 0], together[:, i], atol=1e-4)


def test_shots_that_do_not_count_change_nothing():
    other, mask = scene((10, 2, 10, BLUE), (2, 20, 8, RED))
    image, _ = corner(8, 12, 16)
    config = ProtoSAMConfig(ALPConfig(position_weight=0.0), linear=None, prompts=PromptsConfig(box_margin=0.0))
    model = ProtoSAM(PaintingSAM(), config=config)
    images, labels = np.stack([SUPPORT[0], other]), np.stack([SUPPORT[1], 1 - mask])[None, ..., None]
    masked = model.prepare(images, labels, np.array([[True, False]]))
    np.testing.assert_allclose(masked(image[None]), predictor()(image[None]), atol=1e-4)


def test_turns_of_what_does_not_depend_on_direction_change_nothing():
    image, _ = corner(8, 12, 16)
    turns = (Turn(), Turn(1), Turn(2, mirrored=True), Turn(3, mirrored=True))
    turned = predictor(refinement=None, turns=turns)(image[None])
    np.testing.assert_allclose(turned, predictor(refinement=None)(image[None]), atol=1e-4)
    with pytest.raises(ValueError, match="turns is empty"):
        ProtoSAMConfig(turns=())


def test_any_angle_finds_what_is_found_without():
    image, mask = corner(8, 12, 16)
    found = predictor(refinement=None, turns=(Turn(degrees=20),))(image[None])[0, 0, ..., 0] > 0
    assert (found & (mask > 0)).sum() / (found | (mask > 0)).sum() > 0.8


def test_another_extractor_gives_the_features():
    sam, seen = PaintingSAM(), []

    def extractor(images):
        seen.append(len(images))
        return images[:, ::4, ::4] - 0.4

    model = ProtoSAM(sam, features=extractor, config=ProtoSAMConfig.coarse())
    images, labels = SUPPORT[0][None], SUPPORT[1][None, None, ..., None]
    model.prepare(images, labels, np.ones((1, 1), bool))(images / 2)
    assert seen == [1, 1]
    assert sam.encoded == []  # coarse masks need no embedding


def test_the_classifier_is_added_to_the_prototypes():
    image, _ = corner(8, 12, 16)
    without, single, double = (
        np.asarray(predictor(refinement=None, linear=linear)(image[None]))
        for linear in (None, LinearConfig(position=0.0), LinearConfig(weight=2.0, position=0.0))
    )
    added = single - without
    assert added[0, 0, 10, 14] > 0.3
    assert added[0, 0, 0, 0] < -0.3
    np.testing.assert_allclose(double - without, 2 * added, atol=1e-4)


def test_shapes_that_do_not_fit_are_refused():
    image, mask = SUPPORT
    with pytest.raises(ValueError, match="do not fit together"):
        ProtoSAM(PaintingSAM()).prepare(image[None], mask[None, None, :16, :, None], np.ones((1, 1), bool))


@pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")
@pytest.mark.parametrize("side", [1, 3, 70])
def test_the_segmenter_takes_images_of_any_size(side):
    support = np.uint8(255 * SUPPORT[0])
    task = Segmenter(ProtoSAM(PaintingSAM())).fit([support], [SUPPORT[1] > 0])
    rng = np.random.default_rng(0)
    mask = task.predict([rng.integers(0, 255, (side, side, 3), np.uint8)])[0]
    assert mask.shape == (side, side)
    assert mask.dtype == bool


@pytest.fixture(scope="module")
def small_sam():
    encoder = TinyViTConfig((4,) * 4, (1,) * 4, (1,) * 4, (4,) * 4, stem_stride=1)
    small = dict(features=16, mask_features=4, decoder_depth=1, decoder_heads=2, decoder_mlp=8, iou_hidden=8)
    sam, rng = blueprint(SAM, SAMConfig(encoder, 32, **small)), np.random.default_rng(0)
    shapes = get_parameters(sam).items()
    set_parameters(sam, {name: 0.1 + 0.1 * rng.random(shaped.shape, np.float32) for name, shaped in shapes})
    return sam


def test_a_task_compiles_few_programs(small_sam, caplog):
    """Each takes time before the first mask, also if it comes from a cache."""
    images = np.stack([SUPPORT[0] * np.float32(1 - 0.01 * i) for i in range(9)])
    labels = np.tile(SUPPORT[1], (1, 6, 1, 1))[..., None]
    with jax.log_compiles():
        task = ProtoSAM(small_sam, config=ProtoSAMConfig(linear=None)).prepare(
            images[:6], labels, np.ones((1, 6), bool)
        )
        task(images[5:9])
        programs = [r.getMessage() for r in caplog.records if "Finished XLA compilation" in r.getMessage()]
        assert 1 <= len(programs) <= 10
        caplog.clear()
        task(images[4:8])
        assert not [r for r in caplog.records if "Finished XLA compilation" in r.getMessage()]


def test_every_prompt_at_once_with_a_real_small_network(small_sam):
    prompts = PromptsConfig(True, 0.1, 2, True, True, True, mask=MaskPrompt.LOGITS)
    config = replace(ProtoSAMConfig.upstream(), alp=ALPConfig(window=1, purity=0.5), prompts=prompts)
    images, labels = SUPPORT[0][None], SUPPORT[1][None, None, ..., None]
    assert [stage.shape for stage in small_sam.encode(images).earlier] == [(1, 8, 8, 4)] * 2
    logits = ProtoSAM(small_sam, config=config).prepare(images, labels, np.ones((1, 1), bool))(images)
    assert isinstance(logits, jax.Array)
    assert logits.shape == (1, 1, SIZE, SIZE, 1)
    assert np.isfinite(logits).all()


def test_upstream_is_what_the_released_code_runs():
    config = ProtoSAMConfig.upstream()
    image, _ = scene((2, 2, 6, RED), (20, 12, 8, RED))
    sam = PaintingSAM()
    task = predictor(
        sam=sam,
        **{name: getattr(config, name) for name in ("alp", "linear", "components", "prompts", "refinement", "nearest")},
    )
    assert masks_of(task, image)[0].sum() == 8**2 + 10**2  # mask 1 of all components, one pixel wider than the box
    assert sam.decoded == [2]  # and no look at the support
