"""PyTorch weight files, read and written without PyTorch and without executing anything in them.

A file holds a pickle that describes the tensors (torch_pickle.py, torch_names.py) and, beside it, their
bytes (torch_layouts.py).
"""

import math
import os
import pickle
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from universeg_jax.errors import WeightsError
from universeg_jax.weights.torch_layouts import DAMAGE, ReadStorage, open_torch
from universeg_jax.weights.torch_names import STORAGE_DTYPES, Tensor


def load_torch(path: str | os.PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """Read the state dict in a file that torch.save wrote.

    A training checkpoint, {"model": {...}, "epoch": 3, ...}, gives its one dictionary of tensors; plain
    values beside it are ignored.

    Args:
        path: a file in the zip format (PyTorch since 1.6) or the legacy one.
        key: which entry of a checkpoint to take, where several are dictionaries of tensors.

    Returns:
        names -> arrays in the file's order: writable, C-contiguous, sharing memory with nothing. Of dtype
        float64/32/16, bfloat16 (ml_dtypes), int8 to int64, uint8 to uint64 or bool.

    Raises:
        WeightsError: the file cannot be opened, is not PyTorch's, is damaged, compressed or big-endian, asks
            for anything but tensors and plain values, or holds no state dict.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            value, read_storage = open_torch(file)
            tensors = _find_state_dict(value, key)
            _check_sizes(tensors, limit=16 * 2**20 + 4 * path.stat().st_size)
            # By storage, so that each is read once and one at a time is in memory.
            by_storage = sorted(tensors.items(), key=lambda item: item[1].storage.key)
            arrays = {name: _to_array(tensor, read_storage) for name, tensor in by_storage}
            return {name: arrays[name] for name in tensors}
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise WeightsError(f"{path}: is damaged or cut off: {str(error)[:200]}; fetch or copy it again") from error


def _find_state_dict(value: Any, key: str | None) -> dict[str, Tensor]:
    if not isinstance(value, dict):
        raise WeightsError(f"holds a {type(value).__name__}, not a state dict")
    if key is not None:
        if not _is_state_dict(value.get(key)):
            raise WeightsError(f"key={key!r} is not a dictionary of tensors; the file's keys are {_names(value)}")
        return value[key]
    if _is_state_dict(value):
        return value
    found = [name for name, entry in value.items() if _is_state_dict(entry) and entry]
    if len(found) > 1:
        raise WeightsError(f"holds several dictionaries of tensors: pass key= one of {_names(found)}")
    if not found:
        raise WeightsError(f"holds no dictionary of tensors alone; its keys are {_names(value)}")
    return value[found[0]]


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    )


def _names(keys: Iterable) -> str:
    return ", ".join(repr(key)[:100] for key in list(keys)[:20])


def _check_sizes(tensors: Mapping[str, Tensor], limit: int) -> None:
    """Refuse tensors that reach outside their storage, or repeat its elements beyond measure."""
    total = 0
    for name, tensor in tensors.items():
        about = f"tensor {name[:100]!r} of shape {str(tensor.size)[:100]}"
        total += math.prod(tensor.size) * tensor.dtype.itemsize
        # The second: NumPy has a largest size for empty arrays, too.
        if total > limit or math.prod(side or 1 for side in tensor.size) > 2**50:
            raise WeightsError(f"{about}: up to it, the tensors are larger than a file of this size can hold")
        last = tensor.offset + sum((side - 1) * step for side, step in zip(tensor.size, tensor.stride, strict=True))
        if 0 not in tensor.size and (last + 1) * tensor.dtype.itemsize > tensor.storage.nbytes:
            raise WeightsError(f"{about} reaches beyond its storage of {tensor.storage.nbytes} bytes")


def _to_array(tensor: Tensor, read_storage: ReadStorage) -> np.ndarray:
    if 0 in tensor.size:
        return np.empty(tensor.size, tensor.dtype)
    storage, itemsize = tensor.storage, tensor.dtype.itemsize
    buffer = read_storage(storage)
    if len(buffer) != storage.nbytes:
        raise WeightsError(f"storage {storage.key[:100]!r} has {len(buffer)} bytes, not {storage.nbytes}: damaged")
    # The stride of a side of 1 says nothing and may be any number.
    strides = [step * itemsize if side > 1 else 0 for side, step in zip(tensor.size, tensor.stride, strict=True)]
    view = np.ndarray(tensor.size, tensor.dtype, buffer, tensor.offset * itemsize, strides)
    return view.copy(order="C")


def save_torch(state_dict: Mapping[str, ArrayLike], path: str | os.PathLike) -> None:
    """Write a state dict that torch.load(path, weights_only=True) reads.

    The file appears under its name when it is complete, in place of one that was there. The same state dict
    gives the same bytes.

    Args:
        state_dict: names -> NumPy or JAX arrays of float64/32/16, bfloat16, int64/32/16/8, uint8 or bool.
        path: where to write, by custom with a name ending in .pt or .pth.

    Raises:
        WeightsError: a name is not a string, a dtype is not among the above, or the file cannot be written.
    """
    path = Path(path)
    arrays = {name: np.asarray(value) for name, value in state_dict.items()}
    for name, array in arrays.items():
        if not isinstance(name, str):
            raise WeightsError(f"{path}: the name {name!r} is not a string")
        if array.dtype not in STORAGE_DTYPES.values():
            supported = ", ".join(map(str, STORAGE_DTYPES.values()))
            raise WeightsError(f"{path}: {name!r} has dtype {array.dtype}; PyTorch files can hold {supported}")

    members = {"data.pkl": _pickle(arrays), "byteorder": b"little", "version": b"3\n"}
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            temporary = Path(folder) / "weights.pt"
            with zipfile.ZipFile(temporary, "w") as archive:
                for name, content in members.items():
                    archive.writestr(_member(name), content)
                for index, array in enumerate(arrays.values()):
                    archive.writestr(_member(f"data/{index}"), array.tobytes())
            os.replace(temporary, path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from error


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(f"archive/{name}")  # dated 1980, as PyTorch does
    member.create_system = 3  # on every system, so that the bytes are the same
    return member


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The pickle of an OrderedDict of tensors, assembled by hand, because the pickle module can mention
    torch's functions only where torch is installed."""

    def literal(value: Any) -> bytes:
        return pickle.dumps(value, protocol=2)[2:-1]  # without the instructions PROTO and STOP

    storage_names = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    pieces = [b"\x80\x02", ordered_dict, b"("]
    for index, (name, array) in enumerate(arrays.items()):
        stride = tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))
        pieces += [
            literal(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            b"(" + literal("storage") + f"ctorch\n{storage_names[array.dtype]}\n".encode(),
            literal(str(index)) + literal("cpu") + literal(array.size) + b"tQ",
            literal(0) + literal(array.shape) + literal(stride) + literal(False) + ordered_dict,
            b"tR",
        ]
    return b"".join([*pieces, b"u."])
