"""Map PyTorch state dicts to models and back by a table of names.

Here parameters include buffers, which are stored but not learned.

A table has one `Entry` for each tensor of the state dict, in its order. It is made for one model, so all names in it
are written out. A comparison of names then shows which tensors a file lacks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from universeg_jax.errors import WeightsError
from universeg_jax.nn.layers import Buffer
from universeg_jax.shapes import Array

Model = TypeVar("Model", bound=nnx.Module)


def get_parameters(model: nnx.Module) -> dict[str, Array | jax.ShapeDtypeStruct]:
    """Return names -> arrays; shapes and dtypes where the model is a `blueprint`."""
    return {".".join(map(str, path)): value for path, value in _by_path(model).items()}


def trainable_names(model: nnx.Module) -> list[str]:
    """Return the names of the parameters that training may change: all but buffers."""
    paths = traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    return [".".join(map(str, path)) for path in paths]


def set_parameters(model: nnx.Module, values: Mapping[str, Array]) -> None:
    """Set the value of every parameter, in place.

    Raises:
        ValueError: names or shapes differ from the parameters; nothing is changed then.
    """
    parameters = _by_path(model)
    paths = {".".join(map(str, path)): path for path in parameters}
    if paths.keys() != values.keys():
        raise ValueError(f"parameters without value, or values without parameter: {paths.keys() ^ values.keys()}")
    for name, value in values.items():
        if value.shape != parameters[paths[name]].shape:
            raise ValueError(f"{name} has shape {parameters[paths[name]].shape}, its value {value.shape}")
    new = {paths[name]: jax.device_put(value) for name, value in values.items()}
    nnx.update(model, traverse_util.unflatten_dict(new))


class _OneKey(nnx.RngStream):
    """Stream that gives the same key again and again. Tracing a new key for each parameter takes most of the time."""

    def __call__(self) -> Array:
        return self.key[...]


def blueprint(kind: type[Model], *args) -> Model:
    """Make a model whose parameters are only shapes: `kind(*args, rngs=...)` without random weights."""

    def make() -> Model:
        rngs = nnx.Rngs(0)
        rngs.default = _OneKey(0, tag="default")  # given to Rngs, it would become an ordinary stream
        return kind(*args, rngs=rngs)

    return nnx.eval_shape(make)


def _by_path(model: nnx.Module) -> dict[tuple[str | int, ...], Array]:
    return traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(model, (nnx.Param, Buffer))))


VECTOR = (0,)
MATRIX = (0, 1)  # as it is
LINEAR = (1, 0)  # (out,in) -> (in,out)
CONV = (2, 3, 1, 0)  # (out,in,kh,kw) -> (kh,kw,in,out)


@dataclass(frozen=True)
class Entry:
    """One tensor of the state dict and its parameters here.

    Attributes:
        theirs: name in PyTorch.
        ours: name of the parameter, or names of several that PyTorch joins in this order.
        axes: order of PyTorch's axes that makes ours, as for `np.transpose`.
        join: PyTorch's axis along which several are joined.
    """

    theirs: str
    ours: tuple[str, ...]
    axes: tuple[int, ...]
    join: int = 0

    def shapes(self, parameters: Mapping) -> list[tuple[int, ...]]:
        """Return the shapes, in PyTorch's layout, of the pieces that `ours` names."""
        return [tuple(parameters[name].shape[axis] for axis in self._axes_back) for name in self.ours]

    def shape(self, parameters: Mapping) -> tuple[int, ...]:
        """Return the shape that PyTorch's tensor must have."""
        pieces = self.shapes(parameters)
        joined = sum(piece[self.join] for piece in pieces)
        return (*pieces[0][: self.join], joined, *pieces[0][self.join + 1 :])

    def split(self, tensor: np.ndarray, parameters: Mapping) -> dict[str, np.ndarray]:
        """Split PyTorch's tensor into our parameters."""
        ends = np.cumsum([piece[self.join] for piece in self.shapes(parameters)])
        pieces = np.split(tensor, ends[:-1], axis=self.join)
        return {name: piece.transpose(self.axes) for name, piece in zip(self.ours, pieces, strict=True)}

    def joined(self, parameters: Mapping) -> np.ndarray:
        """Join our parameters to PyTorch's tensor."""
        pieces = [np.asarray(parameters[name]).transpose(self._axes_back) for name in self.ours]
        return np.concatenate(pieces, axis=self.join)

    @property
    def _axes_back(self) -> tuple[int, ...]:
        return tuple(self.axes.index(axis) for axis in range(len(self.axes)))


def linear(theirs: str, ours: str) -> list[Entry]:
    """A `torch.nn.Linear` as a kernel (in,out) and a bias."""
    return [Entry(f"{theirs}.weight", (f"{ours}.kernel",), LINEAR), Entry(f"{theirs}.bias", (f"{ours}.bias",), VECTOR)]


def norm(theirs: str, ours: str) -> list[Entry]:
    """A `torch.nn.LayerNorm` as a scale and a bias."""
    return [Entry(f"{theirs}.weight", (f"{ours}.scale",), VECTOR), Entry(f"{theirs}.bias", (f"{ours}.bias",), VECTOR)]


def conv(theirs: str, ours: str) -> list[Entry]:
    """A `torch.nn.Conv2d` with bias as a kernel (kh,kw,in,out) and a bias."""
    return [Entry(f"{theirs}.weight", (f"{ours}.kernel",), CONV), Entry(f"{theirs}.bias", (f"{ours}.bias",), VECTOR)]


def import_tensors(
    model: nnx.Module,
    state_dict: Mapping[str, np.ndarray],
    table: Sequence[Entry],
    *,
    unused: Collection[str] = (),
) -> None:
    """Fill a model, in place, with a state dict: every tensor is used, every parameter filled, in float32.

    Args:
        unused: names of tensors that a state dict may hold and the model does not need.

    Raises:
        WeightsError: every missing, unexpected, misshapen and unusable tensor is listed; the model is as before.
    """
    parameters = get_parameters(model)
    state_dict = {name: tensor for name, tensor in state_dict.items() if name not in unused}
    problems = _problems(state_dict, {entry.theirs: entry.shape(parameters) for entry in table})
    if problems:
        raise WeightsError("\n  ".join(["the weights do not fit the model:", *problems]))
    values: dict[str, np.ndarray] = {}
    for entry in table:
        values |= entry.split(_float32(state_dict[entry.theirs]), parameters)
    set_parameters(model, values)


def export_tensors(model: nnx.Module, table: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Export the parameters under PyTorch's names and in its layout, in the table's order."""
    parameters = get_parameters(model)
    return {entry.theirs: entry.joined(parameters) for entry in table}


def _float32(tensor: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite, which is refused
        return np.asarray(tensor).astype(np.float32)


def _problems(state_dict: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    problems = [f"missing: {name}, of shape {shape}" for name, shape in shapes.items() if name not in state_dict]
    for name, tensor in state_dict.items():
        tensor = np.asarray(tensor)
        if name not in shapes:
            problems.append(f"not expected: {name}, of shape {tensor.shape}")
        elif tensor.shape != shapes[name]:
            problems.append(f"wrong shape: {name} is {tensor.shape}, must be {shapes[name]}")
        elif not jnp.issubdtype(tensor.dtype, jnp.floating):
            problems.append(f"wrong type: {name} is {tensor.dtype}, must be floating-point")
        elif not np.isfinite(_float32(tensor)).all():
            problems.append(f"NaN or infinite in float32: {name}")
    return problems
