"""Scenes of red and blue squares, and ProtoSAM on them with a SAM that paints its boxes."""

import numpy as np

from tests.helpers.painting_sam import PaintingSAM
from universeg_jax.models.protosam.config import ALPConfig, PromptsConfig, ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM

SIZE = 32
GREY, RED, BLUE = (0.5, 0.5, 0.5), (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


def scene(*squares):
    """Draw an image (H,W,3) of squares (top, left, side, colour) on grey, and the mask of the red ones."""
    image, mask = np.tile(np.float32(GREY), (SIZE, SIZE, 1)), np.zeros((SIZE, SIZE), np.float32)
    for top, left, side, colour in squares:
        part = slice(top, top + side), slice(left, left + side)
        image[part], mask[part] = colour, colour == RED
    return image, mask


def corner(top, left, side):
    """Draw a red square without its lower right quarter, so that its box is not its mask."""
    image, mask = scene((top, left, side, RED), (top + side // 2, left + side // 2, side // 2, BLUE))
    return image, mask


SUPPORT = scene((4, 4, 12, RED), (20, 20, 8, BLUE))


def predictor(support=SUPPORT, *, sam=None, **options):
    images, masks = np.stack([support[0]]), np.stack([support[1]])[None, ..., None]
    # Squares are anywhere, and boxes are exact.
    exact = {"alp": ALPConfig(position_weight=0.0), "linear": None, "prompts": PromptsConfig(box_margin=0.0)}
    options = {**exact, **options}
    model = ProtoSAM(sam or PaintingSAM(), config=ProtoSAMConfig(**options))
    return model.prepare(images, masks, np.ones((1, 1), bool))


def masks_of(task, *images):
    return np.asarray(task(np.stack(images)))[0, ..., 0] > 0
