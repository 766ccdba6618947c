import numpy as np
import pytest

from experiments.deepen import deepen, main
from tests.helpers.random_networks import SMALL, episode, model_with_biases
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.weights.loading import load
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import save


def test_stages_that_both_networks_have_are_kept():
    model = model_with_biases(SMALL)
    stages = len(SMALL.encoder_features)
    deeper = deepen(model, stages + 2)
    assert deeper.config.encoder_features[:stages] == SMALL.encoder_features
    assert deeper.config.decoder[2:] == SMALL.decoder
    for part in ("encoder.0", "encoder.1", "head"):
        ours = {name: x for name, x in get_parameters(model).items() if name.startswith(part)}
        assert ours
        for name, value in ours.items():
            np.testing.assert_array_equal(get_parameters(deeper)[name], value)
    for kept, moved in zip(model.decoder, deeper.decoder[2:], strict=True):
        np.testing.assert_array_equal(moved.cross.kernel_support[...], kept.cross.kernel_support[...])


def test_fewer_stages_are_refused():
    with pytest.raises(InputError, match="stages=1: the network has"):
        deepen(model_with_biases(SMALL), 1)


def test_the_command_writes_weights(tmp_path):
    config = UniverSegConfig(encoder_features=((4, 4), (4, 4)))
    save(model_with_biases(config), tmp_path / "from")
    main([str(tmp_path / "from"), "--stages", "3", "--out", str(tmp_path / "deeper")])
    target, images, labels = episode(0, targets=1, sets=1, entries=2, height=16, width=16)
    assert load(tmp_path / "deeper")(target, images, labels).shape == target.shape
