"""The segmenter on a real, small, untrained UniverSeg."""

import jax
import numpy as np
import pytest

from tests.helpers.random_networks import model_with_biases
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.segment.segmenter import Segmenter

MODEL = model_with_biases(UniverSegConfig(encoder_features=((4, 4), (4, 4)), input_size=32))


def spread_out(*shape: int) -> np.ndarray:
    """Random images (N,32,32) that min-max scaling leaves as they are."""
    images = np.random.default_rng(len(shape)).random(shape, np.float32)
    images[:, 0, :2] = 0, 1
    return images


def test_a_binary_task_is_the_model_called_on_it():
    support, targets = spread_out(5, 32, 32), spread_out(3, 32, 32)
    labels = support > 0.7
    found = Segmenter(MODEL).fit(support, labels).predict_proba(targets)
    logits = MODEL(targets[..., None], support[None, ..., None], labels[None, ..., None].astype(np.float32))
    np.testing.assert_allclose(found, jax.nn.sigmoid(logits[..., 0]), atol=1e-5)


def test_several_classes_are_the_model_called_on_each_with_the_entries_that_show_it():
    support, targets = spread_out(5, 32, 32), spread_out(2, 32, 32)
    labels = np.digitize(support, [0.3, 0.6])
    labels[1:3] = np.minimum(labels[1:3], 1)
    found = Segmenter(MODEL).fit(support, labels).predict_proba(targets)
    confidence = []
    for value in range(3):
        maps = (labels == value).astype(np.float32)
        kept = maps.any(axis=(1, 2))
        logits = MODEL(targets[..., None], support[None, kept, ..., None], maps[None, kept, ..., None])
        confidence.append(10 * jax.nn.sigmoid(logits[..., 0]))
    np.testing.assert_allclose(found, jax.nn.softmax(np.stack(confidence, axis=-1), axis=-1), atol=1e-5)


def test_bfloat16_is_near_float32_and_not_the_same():
    support, targets = spread_out(5, 32, 32), spread_out(3, 32, 32)
    exact, coarse = (
        Segmenter(MODEL, dtype=dtype).fit(support, support > 0.7).predict_proba(targets)
        for dtype in (np.float32, "bfloat16")
    )
    assert coarse.dtype == np.float32
    assert 0 < np.abs(exact - coarse).max() < 0.02


@pytest.mark.parametrize("kept", [2, 4], ids=["sets of their own", "one set with weights"])
def test_entries_without_weight_change_nothing(kept):
    rng = np.random.default_rng(0)
    support, targets = rng.random((5, 32, 32)), rng.random((2, 32, 32))
    weights = np.stack([np.arange(5) < kept, np.arange(5) >= 5 - kept])
    task = Segmenter(MODEL).fit(support, support > 0.7)
    found = task.predict_proba(targets, support=weights)
    for target, own, probability in zip(targets, weights, found, strict=True):
        alone = Segmenter(MODEL).fit(support[own], support[own] > 0.7).predict_proba(target[None])[0]
        np.testing.assert_allclose(probability, alone, atol=1e-4)
