"""Weights by name and path, and the public names."""

import numpy as np
import pytest
from flax import nnx

from tests.helpers.official import SMALL, official_state_dict
from universeg_jax.errors import InputError, WeightsError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.weights import shipped, store
from universeg_jax.weights.catalogue import RELEASES
from universeg_jax.weights.loading import card, load, universeg
from universeg_jax.weights.names.universeg import export_universeg, universeg_from
from universeg_jax.weights.torch_io.file import save_torch

TENSORS = official_state_dict(SMALL)


def assert_holds(model, tensors):
    for name, tensor in export_universeg(model).items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("name", shipped.NAMES)
def test_the_shipped_weights_load_and_are_small_and_described(name):
    model = load(name)
    assert model.config == UniverSegConfig(encoder_features=((64, 64),) * 6)
    folder = shipped.FOLDER / name
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 8e6
    assert "Research use only" in card(name)
    logits = model(np.ones((1, 32, 32, 1)), np.ones((1, 1, 32, 32, 1)), np.ones((1, 1, 32, 32, 1)))
    assert np.isfinite(logits).all()


def test_paths_of_folders_and_files_are_loaded(tmp_path):
    file = tmp_path / "small.pt"
    save_torch(TENSORS, file)
    store.save(universeg_from(TENSORS), tmp_path / "folder")
    for path in (file, str(file), tmp_path / "folder", str(tmp_path / "folder")):
        assert_holds(load(path), TENSORS)


def test_a_file_of_something_else_is_named(tmp_path):
    save_torch({"fc.weight": np.zeros((2, 2), np.float32)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: (?s:.*)not expected: fc\.weight"):
        load(tmp_path / "other.pt")


def test_unknown_names_list_the_known():
    for call in (load, card):
        with pytest.raises(WeightsError, match=rf"'open-v9'.*{', '.join(shipped.NAMES)}, .*universeg-v1"):
            call("open-v9")


def test_the_card_of_a_release_names_licence_and_source():
    text = card("universeg-v1")
    assert "OpenRAIL++-M, research use only" in text
    assert RELEASES[0].source.url in text


def test_untrained_networks_have_the_configuration_and_seed_asked_for():
    config = UniverSegConfig(((2, 2), (2, 2)))
    first, again, other = (universeg(config=config, rngs=nnx.Rngs(seed)) for seed in (1, 1, 2))
    assert first.config == config
    assert_holds(again, export_universeg(first))
    assert not np.array_equal(other.head.kernel[...], first.head.kernel[...])


def test_trained_weights_come_with_their_configuration():
    assert universeg(pretrained="open-v4").config.encoder_features == ((64, 64),) * 6
    with pytest.raises(InputError, match="config"):
        universeg(pretrained="open-v4", config=UniverSegConfig.v1())


def test_weights_of_earlier_versions_say_where_they_are():
    for call in (load, card):
        with pytest.raises(WeightsError, match=r"open-v1 is no longer shipped.* git archive 62357fe .*open-v1"):
            call("open-v1")
