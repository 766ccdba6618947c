"""The official names of UniverSeg's parameters."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.official import SMALL, V1, official_shapes, official_state_dict
from universeg_jax.errors import WeightsError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.mapping import blueprint, get_parameters
from universeg_jax.weights.names.universeg import (
    export_universeg,
    import_universeg,
    infer_config,
    universeg_from,
    universeg_table,
)

GOLDEN = sorted((Path(__file__).parents[2] / "helpers" / "golden").glob("*.npz"))
PAIR = st.tuples(st.integers(1, 4), st.integers(1, 4))


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_names_shapes_and_order_are_those_of_the_official_code(path):
    with np.load(path) as file:
        shapes = {name: tuple(shape) for name, shape in json.loads(str(file["meta"]))["keys"].items()}
    config = infer_config({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    parameters = get_parameters(blueprint(UniverSeg, config))
    table = {entry.theirs: entry.shape(parameters) for entry in universeg_table(config)}
    assert list(table.items()) == list(shapes.items())


def test_the_released_network_has_its_44_tensors():
    shapes = official_shapes(V1)
    assert len(shapes) == 44
    assert sum(np.prod(shape) for shape in shapes.values()) == 1_182_785
    assert infer_config(official_state_dict(V1)) == UniverSegConfig.v1()


@settings(deadline=None, derandomize=True, max_examples=20)
@given(encoder=st.lists(PAIR, min_size=2, max_size=4), mirrored=st.booleans(), data=st.data())
def test_any_configuration_is_inferred_imported_and_exported(encoder, mirrored, data):
    decoder = None if mirrored else data.draw(st.lists(PAIR, min_size=len(encoder) - 1, max_size=len(encoder) - 1))
    given_tensors = official_state_dict(encoder, decoder, seed=len(encoder))
    model = universeg_from(given_tensors, cross_activation=jax.nn.leaky_relu)
    assert model.config.encoder_features == tuple(encoder)
    assert model.config.decoder == tuple(encoder[-2::-1] if mirrored else decoder)
    assert model.config.cross_activation is jax.nn.leaky_relu
    assert_equal(export_universeg(model), given_tensors)


def test_the_kernel_of_a_cross_convolution_is_target_first():
    tensors = official_state_dict(SMALL)
    model = universeg_from(tensors)
    weight = tensors["enc_blocks.0.cross.cross_conv.weight"]
    np.testing.assert_array_equal(model.encoder[0].cross.kernel_target[..., 0, :], weight[:, 0].transpose(1, 2, 0))
    np.testing.assert_array_equal(model.encoder[0].cross.kernel_support[...], weight[:, 1:].transpose(2, 3, 1, 0))


def test_import_fills_a_model_in_place_dead_support_convolution_included():
    model, tensors = universeg_from(official_state_dict(SMALL, seed=1)), official_state_dict(SMALL)
    import_universeg(model, tensors)
    assert_equal(export_universeg(model), tensors)
    dead = tensors["dec_blocks.1.support.vmapped.conv.bias"]
    np.testing.assert_array_equal(model.decoder[-1].support.bias[...], dead)


def test_an_imported_model_runs_under_jit():
    model, image = universeg_from(official_state_dict(SMALL)), np.ones((1, 8, 8, 1), np.float32)
    logits = jax.jit(lambda model, x: model(x, x[None], x[None]))(model, image)
    assert logits.shape == (1, 8, 8, 1)


def test_weights_of_another_configuration_are_named_and_change_nothing():
    model = universeg_from(official_state_dict(((2, 2), (2, 2))))
    before = export_universeg(model)
    with pytest.raises(WeightsError) as caught:
        import_universeg(model, official_state_dict(SMALL))
    message = str(caught.value)
    assert "like those of UniverSegConfig(encoder_features=((2, 3), (4, 5), (3, 2)), decoder_features=None" in message
    assert "wrong shape: enc_blocks.1.cross.cross_conv.weight is (4, 6, 3, 3), must be (2, 4, 3, 3)" in message
    for name in official_shapes(SMALL).keys() - before.keys():
        assert f"not expected: {name}," in message
    assert_equal(export_universeg(model), before)


def test_one_missing_tensor_is_named_whichever_it_is():
    for name in official_shapes(SMALL):
        tensors = official_state_dict(SMALL)
        del tensors[name]
        with pytest.raises(WeightsError, match=f"missing: {name}, "):
            import_universeg(blueprint(UniverSeg, UniverSegConfig(SMALL)), tensors)
        with pytest.raises(WeightsError, match="missing: "):
            universeg_from(tensors)


@pytest.mark.parametrize(
    "weight", [np.zeros((10**9, 0, 3, 3), np.float32), np.zeros(3, np.float32), np.zeros((), np.float32)]
)
def test_impossible_shapes_are_refused(weight):
    tensors = official_state_dict(SMALL) | {"enc_blocks.1.cross.cross_conv.weight": weight}
    with pytest.raises(WeightsError, match=r"enc_blocks\.1\.cross\.cross_conv\.weight"):
        universeg_from(tensors)


def test_a_state_dict_of_something_else_is_refused():
    for tensors in ({}, {"fc.weight": np.zeros((2, 2), np.float32)}):
        with pytest.raises(WeightsError, match="missing: enc_blocks"):
            universeg_from(tensors)
