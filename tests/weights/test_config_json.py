from dataclasses import asdict, replace

import pytest

from universeg_jax.models.dinov2 import DINOv2Config
from universeg_jax.models.sam.model import SAMConfig
from universeg_jax.util.json_files import parse_json
from universeg_jax.weights.catalogue import RELEASES
from universeg_jax.weights.config_json import config_from_json
from universeg_jax.weights.networks import network_of


def through_json(network, config):
    import json

    return network.from_json(parse_json(json.dumps(network.to_json(config))))


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_configurations_of_all_releases_go_through_json(release):
    assert through_json(network_of(release.config), release.config) == release.config


@pytest.mark.parametrize("field", list(asdict(DINOv2Config())))
@pytest.mark.parametrize("value", [None, "8", 10**18, -1, 1e300, [], {}, [8]])
def test_every_field_has_a_type_and_bounds(field, value):
    values = asdict(DINOv2Config()) | {field: value}
    with pytest.raises(ValueError, match=field):
        config_from_json(DINOv2Config, values)


def test_fields_are_all_there_and_no_others():
    values = asdict(DINOv2Config())
    for wrong in ({**values, "more": 1}, {name: value for name, value in values.items() if name != "heads"}, [], 5):
        with pytest.raises(ValueError, match="DINOv2Config"):
            config_from_json(DINOv2Config, wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.0, 0.0]},
        {"mean": [0.0, 0.0, "0"]},
        {"deviation": [1.0, 1.0, 1e9]},
        {"encoder": {}},
        {"encoder": {"stem_stride": 1}},
        {"encoder": None},
        {"encoder": [1]},
        {"decoder_epsilon": True},
        {"decoder_depth": 65},
    ],
)
def test_nested_fields_are_checked_too(change):
    network = network_of(SAMConfig.mobile_sam())
    values = network.to_json(SAMConfig.mobile_sam())
    with pytest.raises((ValueError, KeyError, TypeError)):
        network.from_json({**values, **change})


def test_networks_deeper_than_any_that_is_known_are_refused():
    network = network_of(DINOv2Config())
    with pytest.raises(ValueError, match="depth is 65, must be 0 to 64"):
        through_json(network, replace(DINOv2Config(), depth=65))
