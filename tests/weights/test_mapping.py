"""The mechanism of tables, on a small module with joined and transposed parameters."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from universeg_jax.errors import WeightsError
from universeg_jax.weights.mapping import (
    CONV,
    LINEAR,
    VECTOR,
    Entry,
    export_tensors,
    get_parameters,
    import_tensors,
    set_parameters,
)


class Attention(nnx.Module):
    def __init__(self):
        self.query = nnx.Param(jnp.zeros((2, 3)))
        self.value = nnx.Param(jnp.zeros((2, 5)))
        self.parts = nnx.List([nnx.Param(jnp.zeros(3)), nnx.Param(jnp.zeros((3, 3, 2, 4)))])


TABLE = [
    Entry("qv.weight", ("query", "value"), LINEAR, join=0),
    Entry("norm", ("parts.0",), VECTOR),
    Entry("patches", ("parts.1",), CONV),
]


def tensors():
    rng = np.random.default_rng(0)
    shapes = {"qv.weight": (8, 2), "norm": (3,), "patches": (4, 2, 3, 3)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_tensors_are_split_and_transposed():
    model, given = Attention(), tensors()
    import_tensors(model, given, TABLE)
    np.testing.assert_array_equal(model.query[...], given["qv.weight"][:3].T)
    np.testing.assert_array_equal(model.value[...], given["qv.weight"][3:].T)
    np.testing.assert_array_equal(model.parts[1][1, 2, 0, 3], given["patches"][3, 0, 1, 2])


def test_export_is_the_inverse_of_import_in_the_order_of_the_table():
    model, given = Attention(), tensors()
    import_tensors(model, given, TABLE)
    exported = export_tensors(model, TABLE)
    assert list(exported) == list(given)
    for name in given:
        np.testing.assert_array_equal(exported[name], given[name])


def test_a_table_that_forgets_a_parameter_is_an_error():
    model, given = Attention(), tensors()
    del given["norm"]
    with pytest.raises(ValueError, match=r"parts\.0"):
        import_tensors(model, given, [TABLE[0], TABLE[2]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floating_point_types_become_float32(dtype):
    model = Attention()
    given = {name: tensor.astype(dtype) for name, tensor in tensors().items()}
    import_tensors(model, given, TABLE)
    assert model.query[...].dtype == jnp.float32
    np.testing.assert_array_equal(model.query[...], given["qv.weight"][:3].T.astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_not_a_finite_float32_is_refused_by_name(value):
    given = {name: tensor.astype(np.float64) for name, tensor in tensors().items()}
    given["norm"][1] = value
    with pytest.raises(WeightsError, match="norm"):
        import_tensors(Attention(), given, TABLE)


def test_everything_wrong_is_listed_and_nothing_changed():
    model, given = Attention(), tensors()
    given["qv.weight"] = given["qv.weight"].T
    given["norm"] = np.arange(3)
    given["mask"] = given.pop("patches")
    with pytest.raises(WeightsError) as caught:
        import_tensors(model, given, TABLE)
    lines = str(caught.value).splitlines()[1:]
    assert sorted(line.strip() for line in lines) == [
        "missing: patches, of shape (4, 2, 3, 3)",
        "not expected: mask, of shape (4, 2, 3, 3)",
        "wrong shape: qv.weight is (2, 8), must be (8, 2)",
        "wrong type: norm is int64, must be floating-point",
    ]
    assert not any(value.any() for value in get_parameters(model).values())


def test_parameters_are_set_all_or_none():
    model = Attention()
    values = {name: np.ones(value.shape) for name, value in get_parameters(model).items()}
    for wrong in ({"query": values["query"]}, {**values, "value": np.ones((5, 2))}):
        with pytest.raises(ValueError, match="value"):
            set_parameters(model, wrong)
    assert not model.query[...].any()
