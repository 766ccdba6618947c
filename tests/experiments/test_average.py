import re
from dataclasses import replace

import numpy as np
import pytest

from experiments.average import main
from experiments.command import run
from tests.helpers.random_networks import SMALL, model_with_biases
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.weights.loading import load
from universeg_jax.weights.mapping import get_parameters, set_parameters
from universeg_jax.weights.store import save


def test_parameters_are_the_mean(tmp_path):
    first, second = model_with_biases(SMALL), model_with_biases(SMALL)
    set_parameters(second, {name: 3 * value + 1 for name, value in get_parameters(first).items()})
    save(first, tmp_path / "a")
    save(second, tmp_path / "b")
    main([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "b"), "--out", str(tmp_path / "mean")])
    found = get_parameters(load(tmp_path / "mean"))
    for name, value in get_parameters(first).items():
        np.testing.assert_allclose(found[name], (value + 2 * (3 * value + 1)) / 3, rtol=1e-6, atol=1e-6)


def test_other_networks_are_refused(tmp_path, capsys):
    save(model_with_biases(SMALL), tmp_path / "a")
    save(model_with_biases(UniverSegConfig(encoder_features=((4, 4), (4, 4)))), tmp_path / "b")
    with pytest.raises(SystemExit, match=r"^2$"):
        run(lambda: main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "mean")]))
    assert re.search(r"b is of UniverSegConfig\(.*only like networks average", capsys.readouterr().err)
    assert not (tmp_path / "mean").exists()


def test_the_size_of_the_images_may_differ(tmp_path):
    for size in (16, 32):
        save(model_with_biases(replace(SMALL, input_size=size)), tmp_path / str(size))
    main([str(tmp_path / "32"), str(tmp_path / "16"), "--out", str(tmp_path / "mean")])
    assert load(tmp_path / "mean").config.input_size == 32
