import numpy as np
import pytest
from random_networks import SMALL, model_with_biases

from universeg_jax.evaluate.data import Labelled, Pool
from universeg_jax.evaluate.methods import Ensemble, InContext


@pytest.fixture(scope="module")
def network():
    return InContext(model_with_biases(SMALL), "small")


@pytest.fixture
def pool(discs):
    data = discs()
    return Pool(data, data.tasks[0], data.examples(data.tasks[0]), {})


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def test_a_network_sees_images_and_labels_as_they_are(network, pool):
    # Neither rescaled nor resized: what the network itself makes of them.
    network.model.config = type(SMALL)(**{**vars(SMALL), "input_size": 16})
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
    assert network.segment(Labelled(images, 0 * labels), images).shape == images.shape


def test_identity_tells_weights_apart(network):
    assert network.identity == InContext(model_with_biases(SMALL), "small").identity
    assert network.identity != InContext(model_with_biases(SMALL, seed=1), "small").identity


def test_an_ensemble_averages_random_supports(pool):
    class FirstLabel:
        name = identity = "first"

        def predict(self, rng, pool, support_size, targets):
            return np.full_like(targets, pool.examples[0].image)

    one = Ensemble(FirstLabel(), 1).predict(np.random.default_rng(0), pool, 2, np.zeros((1, 2, 2, 1)))
    assert (one == 0).all()
    many = [
        Ensemble(FirstLabel(), 5).predict(np.random.default_rng(s), pool, 2, np.zeros((1, 2, 2, 1))) for s in (0, 0, 1)
    ]
    assert (many[0] == many[1]).all()
    assert (many[0] != many[2]).any()
    assert Ensemble(FirstLabel(), 5).name == "first, ensemble of 5"
