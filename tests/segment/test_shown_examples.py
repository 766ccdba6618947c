"""Examples that a task shows for each image: similar ones, or by weights."""

import numpy as np
import pytest

from tests.helpers.stand_in import Weighted
from universeg_jax.errors import InputError
from universeg_jax.segment.segmenter import Segmenter


def places(*rows):
    """Images with one bright row each, and labels of it."""
    images = np.zeros((len(rows), 16, 16), np.uint8)
    images[np.arange(len(rows)), list(rows)] = 200
    return images, images > 0


def test_similar_examples_are_shown():
    images, labels = places(1, 5, 9, 13)
    task = Segmenter(Weighted()).fit(images, labels)
    found = task.predict_proba(images[[2, 0]], support="similar", support_size=1)
    np.testing.assert_allclose(found, labels[[2, 0]], atol=1e-4)
    everything = task.predict_proba(images, support="similar")  # 16 by default, so all four
    np.testing.assert_allclose(everything, task.predict_proba(images), atol=1e-6)


def test_examples_have_weights():
    images, labels = places(1, 5, 9)
    task = Segmenter(Weighted()).fit(images, labels)
    found = task.predict_proba(images[:2], support=np.array([[0, 1, 0], [0, 3, 1]]))
    np.testing.assert_allclose(found[0], labels[1], atol=1e-4)
    np.testing.assert_allclose(found[1], 0.75 * labels[1] + 0.25 * labels[2], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"support": "nearest"}, "support='nearest'"),
        ({"support": np.ones((2, 3))}, r"support of shape \(2, 3\): pass weights \(N,S\) for S=4"),
        ({"support": np.ones((1, 4))}, "weights for 1 images, but 2 are given"),
        ({"support": np.zeros((2, 4))}, "at least one example a positive weight"),
        ({"support": np.full((2, 4), np.nan)}, "finite weights"),
        ({"support": "similar", "ensemble": 2}, "ensemble=2: random draws"),
        ({"support": "similar", "support_size": 5}, "support_size=5"),
    ],
)
def test_unusable_supports_are_refused(options, message):
    images, labels = places(1, 5, 9, 13)
    with pytest.raises(InputError, match=message):
        Segmenter(Weighted()).fit(images, labels).predict(images[:2], **options)
