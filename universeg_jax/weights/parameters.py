"""The parameters of a model by name: "encoder.0.cross.bias" is `model.encoder[0].cross.bias`.

Buffers, which are stored with the parameters but not learned, are among them.
"""

from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util

from universeg_jax.nn.buffer import Buffer
from universeg_jax.typing import Array

Model = TypeVar("Model", bound=nnx.Module)


def get_parameters(model: nnx.Module) -> dict[str, Array | jax.ShapeDtypeStruct]:
    """Names -> arrays; shapes and dtypes where the model is a `blueprint`."""
    return {".".join(map(str, path)): value for path, value in _by_path(model).items()}


def set_parameters(model: nnx.Module, values: Mapping[str, Array]) -> None:
    """Give every parameter a value, in place.

    Raises:
        ValueError: where names and shapes are not exactly those of the parameters; nothing is changed then.
    """
    parameters = _by_path(model)
    paths = {".".join(map(str, path)): path for path in parameters}
    if paths.keys() != values.keys():
        raise ValueError(f"parameters without value, or values without parameter: {paths.keys() ^ values.keys()}")
    for name, value in values.items():
        if value.shape != parameters[paths[name]].shape:
            raise ValueError(f"{name} has shape {parameters[paths[name]].shape}, its value {value.shape}")
    new = {paths[name]: jnp.asarray(value) for name, value in values.items()}
    nnx.update(model, traverse_util.unflatten_dict(new))


def blueprint(kind: type[Model], *args) -> Model:
    """A model whose parameters are only shapes: `kind(*args, rngs=...)` without the work of random weights."""
    return nnx.eval_shape(lambda: kind(*args, rngs=nnx.Rngs(0)))


def _by_path(model: nnx.Module) -> dict[tuple[str | int, ...], Array]:
    return traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(model, (nnx.Param, Buffer))))
