"""The preset of the released code on seeded weights: its outputs stay as they are."""

import numpy as np
import pytest

from tests.helpers.protosam_networks import PLAIN, VIT, dinov2, images, sam
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.encoder import DINOv2Features
from universeg_jax.models.protosam.pipeline import ProtoSAM

SIZE = VIT.input_size
SUMMARY = (-0.1153, 0.3052, 0.3378)
"""Mean, deviation, and fraction above 0."""

GRID = (
    (0.305, 0.305, 0.253, 0.218, 0.179),
    (0.250, 0.301, 0.318, 0.300, 0.209),
    (0.229, 0.190, 0.322, 0.335, 0.243),
    (0.262, 0.205, 0.226, 0.202, 0.183),
    (0.348, 0.268, 0.254, 0.239, 0.311),
)
"""Logits of every sixteenth pixel."""


def found() -> np.ndarray:
    """Logits (80,80) of a bright square, from another one."""
    pictures, labels = 0.3 * images(0, 2, SIZE, SIZE, 3), np.zeros((1, 1, SIZE, SIZE, 1), np.float32)
    pictures[0, 16:56, 16:56] += 0.6
    pictures[1, 28:68, 20:60] += 0.6
    labels[0, 0, 16:56, 16:56] = 1
    features = DINOv2Features(dinov2(PLAIN), size=56, standardise=True)
    model = ProtoSAM(sam(VIT), features=features, config=ProtoSAMConfig.upstream())
    predictor = model.prepare(pictures[:1], labels, np.ones((1, 1), bool))
    return np.asarray(predictor(pictures[1:]))[0, 0, ..., 0]


def test_outputs_are_pinned():
    logits = found()
    summary = [logits.mean(), logits.std(), (logits > 0).mean()]
    assert summary == pytest.approx(SUMMARY, abs=2e-3)
    assert logits[8::16, 8::16] == pytest.approx(np.array(GRID), abs=1e-2)
