"""Segmenters of several models."""

import numpy as np
import pytest

from tests.helpers.matcher import Constant, Matcher, examples
from universeg_jax.errors import InputError
from universeg_jax.models.in_context import Blend
from universeg_jax.segment.segmenter import Segmenter


def test_several_models_are_averaged_each_at_its_own_size():
    images, labels = examples(3)
    models = [Constant(0.2), Constant(0.8, size=32, channels=3)]
    equal = Segmenter(models).fit(images, labels)
    (result,) = equal.segment(images[:1])
    np.testing.assert_allclose(result.probability, 0.5, atol=1e-6)
    np.testing.assert_allclose(result.spread, 0.3, atol=1e-6)
    weighted = Segmenter(models, weights=[1, 3]).fit(images, labels)
    np.testing.assert_allclose(weighted.predict_proba(images)[0], 0.65, atol=1e-6)
    assert [model.prepared[0][0].shape for model in models] == [(3, 16, 16, 1), (3, 32, 32, 3)]


def test_models_without_weight_are_not_run():
    images, labels = examples(3)
    models = [Constant(0.2), Constant(0.8)]
    task = Segmenter(models, weights=[0, 1]).fit(images, labels)
    np.testing.assert_allclose(task.predict_proba(images)[0], 0.8, atol=1e-6)
    assert models[0].prepared == []
    assert task.segment(images)[0].spread is None


def test_the_weights_of_a_blend_depend_on_the_number_of_examples():
    images, labels = examples(4)
    blend = Blend((Constant(0.2), Constant(0.8)), {1: (0, 1), 4: (1, 1)})
    for number, expected in [(1, 0.8), (3, 0.8), (4, 0.5)]:
        task = Segmenter(blend).fit(images[:number], labels[:number])
        np.testing.assert_allclose(task.predict_proba(images[:1])[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"), [([1], "1 weights"), ([0, 0], "not all of them 0"), ([1, -1], "at least 0")]
)
def test_unusable_weights_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        Segmenter([Constant(0.2), Constant(0.8)], weights=weights)


def test_weights_are_for_lists():
    with pytest.raises(InputError, match="weights are for a list of models"):
        Segmenter(Matcher(), weights=[1])
