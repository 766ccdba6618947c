"""Pictures of other shapes, thin structures and several classes, through the segmenter."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.painting_sam import PaintingSAM
from universeg_jax.errors import SegmentationWarning
from universeg_jax.models.protosam.config import (
    ComponentsConfig,
    PromptsConfig,
    ProtoSAMConfig,
    RefinementConfig,
    Turn,
)
from universeg_jax.models.protosam.encoder import DINOv2Features
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.segmenter import Segmenter

GREY, RED, BLUE, BLACK = (128, 128, 128), (230, 25, 25), (25, 25, 230), (0, 0, 0)
COARSE = ProtoSAMConfig.coarse()


def picture(height, width, *parts, background=GREY):
    """Rectangles (top, left, height, width, colour) on a background."""
    image = np.tile(np.uint8(background), (height, width, 1))
    for top, left, rows, columns, colour in parts:
        image[top : top + rows, left : left + columns] = colour
    return image


def fitted(image, label, config=COARSE, *, sam=None, dtype="float32"):
    return Segmenter(ProtoSAM(sam or PaintingSAM(), config=config), dtype=dtype).fit([image], [label])


@pytest.mark.parametrize("shape", [(32, 96), (96, 32)])
def test_padding_is_not_taken_for_a_dark_structure(shape):
    light = (180, 180, 180)
    support = picture(32, 32, (8, 8, 12, 12, BLACK), (0, 0, 2, 2, (255, 255, 255)), background=light)
    target = picture(*shape, (10, 10, 14, 14, BLACK), (0, 0, 2, 2, (255, 255, 255)), background=light)
    truth = target[..., 0] == 0
    found = fitted(support, support[..., 0] == 0).predict([target])[0]
    assert 2 * (found & truth).sum() > 0.8 * (found.sum() + truth.sum())


@pytest.mark.parametrize("config", [COARSE, ProtoSAMConfig(refinement=RefinementConfig.always())])
@pytest.mark.parametrize("turned", [False, True])
def test_a_speck_at_a_long_edge_does_not_grow_in_the_padding(config, turned):
    support = picture(32, 32, (10, 10, 10, 10, RED), (0, 0, 4, 4, BLUE))
    target = picture(24, 96, (8, 40, 14, 14, RED), (0, 10, 3, 10, RED), (20, 70, 4, 4, BLUE))
    truth = np.zeros((24, 96), bool)
    truth[8:22, 40:54] = True
    if turned:
        target, truth = target.transpose(1, 0, 2), truth.T
    config = replace(config, alp=replace(config.alp, position_weight=0.0), linear=None)
    found = fitted(support, support[..., 0] == RED[0], config).predict([target])[0]
    assert 2 * (found & truth).sum() > 0.7 * (found.sum() + truth.sum())


def test_what_touches_a_long_edge_is_found_up_to_it():
    support = picture(32, 32, (10, 10, 10, 10, RED), (0, 0, 4, 4, BLUE))
    target = picture(24, 72, (0, 30, 12, 12, RED), (20, 60, 4, 4, BLUE))
    task = fitted(support, support[..., 0] == RED[0], replace(COARSE, alp=replace(COARSE.alp, position_weight=0.0)))
    assert task.predict_proba([target])[0][0, 34:38].min() > 0.6
    assert task.predict([target])[0][:10, 33:39].all()


def test_the_box_of_a_whole_long_picture_says_nothing():
    support = picture(32, 32, (0, 0, 32, 24, RED), (0, 24, 32, 8, BLUE))
    target = picture(24, 96, (0, 0, 24, 96, RED), (0, 34, 20, 28, BLUE))  # the box of its red part is all of it
    for largest, filled in ((0.9, False), (1.0, True)):
        config = ProtoSAMConfig(
            alp=replace(COARSE.alp, position_weight=0.0),
            linear=None,
            refinement=replace(RefinementConfig.always(), largest_box=largest),
        )
        found = fitted(support, support[..., 0] == RED[0], config).predict([target])[0]
        assert found[4:8, 46:50].all() == filled
        assert found[4:8, 46:50].any() == filled


@pytest.mark.parametrize("rows", [3, 4, 5])
def test_structures_thinner_than_half_a_pixel_are_found(rows):
    image = picture(256, 256, (100, 32, rows, 192, RED), (0, 0, 4, 4, BLUE))  # eight of its pixels become one
    label = np.zeros((256, 256), bool)
    label[100 : 100 + rows, 32:224] = True
    task = fitted(image, label)
    assert task.support.labels.max() < 0.5
    assert task.predict([image])[0][100 : 100 + rows, 40:216].mean() > 0.5


def test_background_enclosed_by_a_class_stays_background():
    support = picture(32, 32, (4, 4, 12, 12, RED), (20, 20, 8, 8, BLUE))
    label = np.zeros((32, 32), np.uint8)
    label[4:16, 4:16], label[20:28, 20:28] = 1, 2
    target = picture(32, 32, (2, 2, 22, 22, RED), (8, 8, 10, 10, GREY), (26, 26, 6, 6, BLUE))
    task = fitted(support, label)
    assert task.members[0].predictor().in_support == (None, 1, 1)
    assert (task.predict([target])[0][9:17, 9:17] == 0).all()
    refining = fitted(support, label, ProtoSAMConfig())
    assert refining.members[0].predictor().refined == (False, True, True)


def test_the_decoder_may_add_to_each_of_several_classes():
    """Background found by prototypes does not outvote the decoder."""
    support = picture(32, 32, (4, 4, 12, 12, RED), (20, 20, 8, 8, BLUE))
    label = np.zeros((32, 32), np.uint8)
    label[4:16, 4:16], label[20:28, 20:28] = 1, 2
    target = picture(32, 32, (6, 6, 14, 14, RED), (13, 13, 7, 7, GREY), (24, 24, 6, 6, BLUE))  # its box is not its mask
    exact = dict(alp=replace(COARSE.alp, position_weight=0.0), linear=None, prompts=PromptsConfig(box_margin=0.0))
    coarse, refined = (
        fitted(support, label, ProtoSAMConfig(refinement=refinement, **exact)).predict([target])[0]
        for refinement in (None, RefinementConfig.always())
    )
    assert (coarse[15:19, 15:19] == 0).all()
    assert (refined[15:19, 15:19] == 1).all()


class Recording(PaintingSAM):
    """Keeps what its encoder sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def encode(self, images):
        self.seen.append(np.asarray(images))
        return super().encode(images)


def test_what_fills_up_a_batch_is_not_encoded():
    sam = Recording()
    images = [picture(32, 32, (4 + i, 4, 12, 12, RED), (20, 20, 8, 8, BLUE)) for i in range(14)]
    labels = [image[..., 0] == RED[0] for image in images]
    model = ProtoSAM(sam, config=replace(COARSE, nearest=None))
    task = Segmenter(model).fit(images[:5], labels[:5])  # a support set of 5 is filled up to 6
    task.predict(images[5:])  # and 9 targets to 16
    assert sum(map(len, sam.seen)) == 5 + 9
    with pytest.warns(match="constant"):
        assert not task.predict([np.full((32, 32), 7)])[0].any()
    task.predict(images[5:], ensemble=4, support_size=2)  # whose draws share what is known of their images
    assert sum(map(len, sam.seen)) == 5 + 9


def test_bfloat16_from_the_support_on():
    sam = Recording()
    image = picture(32, 32, (4, 4, 12, 12, RED), (20, 20, 8, 8, BLUE))
    config = replace(COARSE, turns=(Turn(), Turn(degrees=10)))
    task = fitted(image, image[..., 0] == RED[0], config, sam=sam, dtype="bfloat16")
    assert task.predict([image])[0][6:14, 6:14].all()
    assert {str(images.dtype) for images in sam.seen} == {"bfloat16"}


def test_images_of_another_size_than_the_network_are_refused():
    model = ProtoSAM(PaintingSAM(), config=COARSE)
    with pytest.raises(ValueError, match="images are 32x16: this SAM takes 32x32"):
        model.prepare(np.zeros((1, 32, 16, 3)), np.zeros((1, 1, 32, 16, 1)), np.ones((1, 1), bool))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ComponentsConfig(at_most=0), "at_most=0"),
        (lambda: ComponentsConfig(smallest=2), "smallest=2"),
        (lambda: RefinementConfig(agreement=-1), "agreement=-1"),
        (lambda: ProtoSAMConfig(countless=-1), "countless=-1"),
    ],
)
def test_choices_without_meaning_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_decoder_is_checked_by_the_deepest_point_of_a_mask():
    class Pointed(PaintingSAM):
        def decode(self, embedding, *, points=None, **rest):
            self.points = np.asarray(points)
            return super().decode(embedding, points=points, **rest)

    sam = Pointed()
    image = picture(32, 32, (4, 4, 12, 12, RED), (20, 20, 8, 8, BLUE))
    config = ProtoSAMConfig(prompts=PromptsConfig(confident_points=1))
    fitted(image, image[..., 0] == RED[0], config, sam=sam).members[0].predictor()
    np.testing.assert_allclose(sam.points[0, 0], (9.5, 9.5), atol=1)


@pytest.mark.parametrize("config", [ProtoSAMConfig(), COARSE, ProtoSAMConfig.upstream()])
def test_where_nothing_is_found_the_mask_is_empty_of_the_pictures_size_and_says_so(config):
    support = picture(40, 32, (10, 6, 20, 20, RED), (32, 20, 6, 6, BLUE))
    target = picture(30, 44, (4, 4, 20, 20, BLUE))
    task = fitted(support, support[..., 0] == RED[0], config)
    with pytest.warns(SegmentationWarning, match="nothing was found: the mask is all background"):
        (mask,) = task.predict([target])
    assert mask.shape == (30, 44)
    assert not mask.any()


@pytest.mark.parametrize("config", [ProtoSAMConfig(), COARSE, ProtoSAMConfig.upstream()])
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_mask_of_one_value_is_warned_of_and_found_everywhere_or_nowhere(config, everywhere):
    support = picture(40, 32, (10, 6, 20, 20, RED))
    with pytest.warns(SegmentationWarning, match="the mask is empty or full"):
        task = fitted(support, np.full((40, 32), everywhere), config)
    (mask,) = task.predict([support]) if everywhere else _empty(task, support)
    assert mask.shape == (40, 32)
    assert (mask == everywhere).all()


def _empty(task, image):
    with pytest.warns(SegmentationWarning, match="nothing was found"):
        return task.predict([image])


def test_parts_that_do_not_fit_together_are_refused():
    sam, network = PaintingSAM(), SimpleNamespace(config=SimpleNamespace(patch=14))
    with pytest.raises(ValueError, match=r"pass a ProtoSAMConfig, such as ProtoSAMConfig\.upstream\(\)"):
        ProtoSAM(sam, config=ProtoSAMConfig.upstream)
    with pytest.raises(ValueError, match="sam is a SimpleNamespace: pass a SAM"):
        ProtoSAM(network)
    with pytest.raises(ValueError, match="only the SAM's own features have several"):
        ProtoSAM(sam, features=lambda images: images, config=ProtoSAMConfig(stages=(0.5, 0.5)))
    with pytest.raises(ValueError, match=r"pass DINOv2Features\(…, standardise=True\)"):
        ProtoSAM(sam, features=DINOv2Features(network), config=ProtoSAMConfig.upstream())
    ProtoSAM(sam, features=DINOv2Features(network, standardise=True), config=ProtoSAMConfig.upstream())


def test_features_of_another_shape_are_refused():
    image = picture(32, 32, (4, 4, 12, 12, RED))
    model = ProtoSAM(PaintingSAM(), features=lambda images: images.mean(axis=(1, 2)), config=COARSE)
    with pytest.raises(ValueError, match=r"features of images \(1, 32, 32, 3\) are \(1, 3\): return \(B,h,w,C\)"):
        Segmenter(model).fit([image], [image[..., 0] == RED[0]]).predict([image])
