from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.helpers.random_networks import SMALL, model_with_biases
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Labelled, SupportPool
from universeg_jax.evaluate.methods import (
    Ensemble,
    InContext,
    NearestMask,
    Retrieval,
    TestTimeAugmentation,
    digest,
)
from universeg_jax.models.in_context import similarity
from universeg_jax.models.protosam.config import ProtoSAMConfig


def small(seed=0, **config):
    return model_with_biases(replace(SMALL, **{"input_size": 16, **config}), seed=seed)


@pytest.fixture(scope="module")
def network():
    return InContext(small(), "small")


@pytest.fixture
def pool(discs):
    data = discs()
    return SupportPool(data, data.tasks[0], data.examples(data.tasks[0]), {})


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def test_a_network_sees_images_and_labels_as_they_are(network, pool):
    # Neither rescaled nor resized: what the network itself makes of them.
    images, labels = pool.first(3)
    targets = 0.3 + 0.4 * pool.take([10, 11]).images
    expected = sigmoid(network.model(targets, images[None], labels[None]))
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(network.predict(rng, pool, 3, targets), expected, rtol=0, atol=1e-5)
    soft = Labelled(images, labels * 0.5)
    expected = sigmoid(network.model(targets, images[None], soft.labels[None]))
    np.testing.assert_allclose(network.segment(soft, targets), expected, rtol=0, atol=1e-5)


def test_an_empty_support_is_segmented_too(network, pool):
    images, labels = pool.first(3)
    assert network.segment(Labelled(images, 0 * labels), images[:2]).shape == (2, 16, 16, 1)


def test_identity_tells_weights_and_configurations_apart(network):
    assert network.identity == InContext(small(), "small").identity
    others = [small(seed=1), small(input_size=32), small(cross_activation=jax.nn.leaky_relu)]
    assert len({network.identity, *(InContext(other, "small").identity for other in others)}) == 4


def test_identity_is_the_same_wherever_an_activation_lies_in_memory():
    def activation():
        def rectify(x):
            return jax.nn.relu(x)

        return rectify

    one, other = activation(), activation()
    assert repr(one) != repr(other)
    assert digest(small(cross_activation=one)) == digest(small(cross_activation=other))


def test_identity_of_a_system_is_that_of_its_networks_and_configuration():
    def system(seed, config="a", size=28):
        return SimpleNamespace(config=config, parts=SimpleNamespace(network=small(seed), size=size), name="system")

    same, again, *others = (
        digest(one) for one in (system(0), system(0), system(1), system(0, "b"), system(0, size=56))
    )
    assert same == again
    assert len({same, *others}) == 4
    defaults, coarse = (digest(system(0, config)) for config in (ProtoSAMConfig(), ProtoSAMConfig.coarse()))
    assert defaults != coarse


def test_an_ensemble_averages_random_supports(pool):
    class FirstLabel:
        name = identity = "first"

        def predict(self, rng, pool, support_size, targets):
            return np.full_like(targets, pool.examples[0].image)

    for draws in (1, 1001):
        with pytest.raises(InputError, match=f"an ensemble of {draws}: pass 2 to 1000 draws"):
            Ensemble(FirstLabel(), draws)
    many = [
        Ensemble(FirstLabel(), 5).predict(np.random.default_rng(s), pool, 2, np.zeros((1, 2, 2, 1))) for s in (0, 0, 1)
    ]
    assert (many[0] == many[1]).all()
    assert (many[0] != many[2]).any()
    assert Ensemble(FirstLabel(), 5).name == "first, ensemble of 5"


def test_augmentation_at_test_time_leaves_masks_alone_and_follows_the_seed(pool):
    seen = []

    class Recording:
        name = identity = "recording"

        def segment(self, support, targets):
            seen.append((support, targets))
            return np.full_like(targets, len(seen))

    support, targets = pool.first(3), pool.take([10, 11]).images
    method = TestTimeAugmentation(Recording(), 4)
    found = method.predict(np.random.default_rng(0), pool, 3, targets)
    np.testing.assert_array_equal(found, np.full_like(targets, 2.5))
    method.predict(np.random.default_rng(0), pool, 3, targets)
    for first, again in zip(seen[:4], seen[4:], strict=True):
        for one, other in zip((*first[0], first[1]), (*again[0], again[1]), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(first[0].labels, support.labels)
    assert any(np.abs(one.images - support.images).max() > 0.05 for one, _ in seen[:4])
    assert any(np.abs(shown - targets).max() > 0.05 for _, shown in seen[:4])
    # Nothing is moved: images stay correlated with themselves, inverted or not.
    for one, _ in seen[:4]:
        for image, original in zip(one.images, support.images, strict=True):
            assert abs(np.corrcoef(image.ravel(), original.ravel())[0, 1]) > 0.7


def test_retrieval_takes_similar_examples_from_the_whole_pool(pool, network):
    everything, rng = pool.first(len(pool)), np.random.default_rng(0)
    targets = everything.images[:2]
    found = Retrieval(network).predict(rng, pool, 4, targets)
    for target, probability in zip(targets, found, strict=True):
        nearest = np.argsort(-similarity(target[None], everything.images)[0])[:4]
        np.testing.assert_allclose(probability, network.segment(pool.take(nearest), target[None])[0], atol=1e-5)


def test_the_nearest_mask_is_copied(pool):
    everything, rng = pool.first(len(pool)), np.random.default_rng(0)
    copied = NearestMask().predict(rng, pool, len(pool), everything.images)
    np.testing.assert_array_equal(copied, everything.labels)
    first = NearestMask().predict(rng, pool, 1, everything.images)
    np.testing.assert_array_equal(first, np.broadcast_to(everything.labels[:1], first.shape))
