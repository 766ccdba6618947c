"""A ProtoSAM from folders of small random networks."""

import numpy as np
import pytest

import universeg_jax as uj
from tests.helpers.protosam_networks import TINY_VIT, dinov2, sam
from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2Config
from universeg_jax.weights import loading, store


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    store.save(dinov2(DINOv2Config(features=24, depth=1, heads=2, grid=2)), folder / "dinov2")
    store.save(sam(TINY_VIT), folder / "sam")
    return folder


@pytest.mark.parametrize(
    ("config", "standardised"), [(None, False), (uj.ProtoSAMConfig(), False), (uj.ProtoSAMConfig.upstream(), True)]
)
def test_a_dinov2_sees_images_as_the_configuration_says(folders, config, standardised):
    model = uj.protosam(folders / "sam", features=folders / "dinov2", config=config)
    assert model.config == (config or uj.ProtoSAMConfig())
    features = model.encoder.extractor
    features.size = 28
    images = np.random.default_rng(0).random((1, 28, 28, 3), np.float32)
    changed = np.abs(features(0.5 * images + 0.2) - features(images)).max()
    assert changed < 1e-3 if standardised else changed > 1e-2


def test_networks_of_the_other_kind_are_refused(folders):
    with pytest.raises(WeightsError, match="is a DINOv2; ProtoSAM refines with a SAM"):
        uj.protosam(folders / "dinov2")
    with pytest.raises(WeightsError, match="is a SAM; features are taken from a DINOv2"):
        uj.protosam(folders / "sam", features=folders / "sam")


def test_the_blend_is_universeg_and_protosam(monkeypatch):
    universeg, protosam = object(), object()
    monkeypatch.setattr(loading, "protosam", lambda: protosam)
    monkeypatch.setattr(loading.store, "load", lambda folder: universeg)
    blend = loading.load("universeg+protosam")
    assert blend.models == (universeg, protosam)
    assert blend.weights_for(1)[1] > blend.weights_for(1)[0]
    assert sum(blend.weights_for(3)) == 1
