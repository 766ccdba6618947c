import numpy as np
import pytest

from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters

STAGES = ((4, 6), (5, 7), (6, 8))


@pytest.fixture
def network():
    """Makes a small network for 16x16 images, with random weights and biases that are not zero."""

    def make(*, stages: int = 3, **config) -> UniverSeg:
        model = blueprint(UniverSeg, UniverSegConfig(STAGES[:stages], input_size=16, **config))
        rng = np.random.default_rng(0)

        def random(shape):
            return rng.standard_normal(shape, np.float32) / (np.prod(shape[:3]) if len(shape) == 4 else 100) ** 0.5

        set_parameters(model, {name: random(shaped.shape) for name, shaped in get_parameters(model).items()})
        return model

    return make


@pytest.fixture
def episode():
    """Makes the inputs of an exported network: one entry absent, one of half weight."""

    def make(targets: int, entries: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(targets)
        target = rng.random((targets, 16, 16, 1), np.float32)
        images = rng.random((entries, 16, 16, 1), np.float32)
        labels = (rng.random((entries, 16, 16, 1)) > 0.5).astype(np.float32)
        mask = np.ones(entries, np.float32)
        if entries > 2:
            mask[:2] = 0, 0.5
        return target, images, labels, mask

    return make
