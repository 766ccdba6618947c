"""Small networks with random weights, and episodes of random pixels."""

import numpy as np

from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters

SMALL = UniverSegConfig(((4, 6), (5, 7), (6, 8)))


def episode(seed, *, targets, sets, entries, height, width):
    rng = np.random.default_rng(seed)
    target = rng.random((targets, height, width, 1), np.float32)
    images = rng.random((sets, entries, height, width, 1), np.float32)
    labels = (rng.random((sets, entries, height, width, 1)) > 0.5).astype(np.float32)
    return target, images, labels


def model_with_biases(config, seed=0):
    model = blueprint(UniverSeg, config)
    rng = np.random.default_rng(seed)

    def random(shape):  # of about the size the network starts with, and biases that are not zero
        return rng.standard_normal(shape, np.float32) / (np.prod(shape[:3]) if len(shape) == 4 else 100) ** 0.5

    set_parameters(model, {name: random(shaped.shape) for name, shaped in get_parameters(model).items()})
    return model
