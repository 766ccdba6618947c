"""Programs that a prediction compiles. Each takes time before the first mask, also if it comes from a cache."""

import jax
import numpy as np

from tests.helpers.random_networks import model_with_biases
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.segment.segmenter import Segmenter


def compiled(caplog) -> list[str]:
    programs = [record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    caplog.clear()
    return programs


def test_a_prediction_compiles_the_network_and_the_probabilities(caplog):
    rng = np.random.default_rng(0)
    images = [rng.random(size) for size in ((16, 16), (20, 13), (30, 40))]
    model = model_with_biases(UniverSegConfig(((2, 2), (2, 2)), input_size=16))
    with jax.log_compiles():
        task = Segmenter(model).fit(images, [image > 0.5 for image in images])
        task.predict(images)
        assert 1 <= len(compiled(caplog)) <= 2
        task.predict([image[::-1] for image in images])
        assert not compiled(caplog)
