"""State dicts of another network of the same family, and files of another release."""

from functools import cache

import numpy as np
import pytest

from tests.helpers.official import SMALL, V1, official_state_dict
from tests.helpers.protosam_networks import TINY_VIT, released_state_dict
from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.catalogue import RELEASES
from universeg_jax.weights.mapping import blueprint, get_parameters
from universeg_jax.weights.names.dinov2 import DINOV2_NETWORK, dinov2_table
from universeg_jax.weights.names.sam import SAM_NETWORK, sam_from, sam_table
from universeg_jax.weights.names.universeg import import_universeg
from universeg_jax.weights.networks import network_of

CONFIGS = {release.name: release.config for release in RELEASES}


@cache
def network(name):
    """A released network as shapes alone."""
    config = CONFIGS[name]
    return blueprint({UniverSegConfig: UniverSeg, SAMConfig: SAM, DINOv2Config: DINOv2}[type(config)], config)


def state_dict(name, table):
    """Make the state dict of a released network; its tensors are single zeros, repeated without memory."""
    model = network(name)
    parameters, zero = get_parameters(model), np.zeros((), np.float32)
    return {entry.theirs: np.broadcast_to(zero, entry.shape(parameters)) for entry in table(model.config)}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("dinov2-vitb14", "dinov2-vits14"),
        ("dinov2-vits14", "dinov2-vitb14"),
        ("dinov2-vits14-reg4", "dinov2-vits14"),
        ("dinov2-vits14", "dinov2-vits14-reg4"),
    ],
)
def test_another_dinov2_is_named(found, wanted):
    given = state_dict(found, dinov2_table)
    with pytest.raises(WeightsError, match=f"^the weights do not fit the model, but look like those of {found}:\n"):
        DINOV2_NETWORK.fill(network(wanted), given)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("sam-vit-l", "sam-vit-b"),
        ("sam-vit-b", "sam-vit-l"),
        ("mobile-sam", "lite-medsam"),
        ("lite-medsam", "mobile-sam"),
    ],
)
def test_another_sam_is_named(found, wanted):
    names = {"sam-vit-b": "sam-vit-b or medsam-vit-b"}.get(found, found)  # which are of the same shapes
    given = state_dict(found, sam_table)
    with pytest.raises(WeightsError, match=f"^the weights do not fit the model, but look like those of {names}:\n"):
        SAM_NETWORK.fill(network(wanted), given)


def test_another_universeg_is_named():
    with pytest.raises(WeightsError, match="look like those of universeg-v1:"):
        import_universeg(blueprint(UniverSeg, UniverSegConfig(SMALL)), official_state_dict(V1))
    with pytest.raises(WeightsError, match=r"look like those of UniverSegConfig\(encoder_features=\(\(2, 3\)"):
        import_universeg(network("universeg-v1"), official_state_dict(SMALL))


def test_a_damaged_file_of_the_network_itself_is_not_called_another():
    given = dict(released_state_dict(TINY_VIT))
    name = next(name for name in given if name.endswith("bn.bias"))
    del given[name]
    with pytest.raises(WeightsError, match=f"^the weights do not fit the model:\n  missing: {name}"):
        sam_from(given)


def test_releases_are_distinguished_except_medsam():
    for release in RELEASES:
        alike = [other.name for other in network_of(release.config).releases_like(release.config)]
        same = ["sam-vit-b", "medsam-vit-b"]
        assert alike == (same if release.name in same else [release.name])
