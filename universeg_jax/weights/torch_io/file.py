"""Read and write PyTorch weight files without PyTorch and without executing anything in them.

torch/serialization.py defines two formats: a zip archive (since PyTorch 1.6), and an older sequence of five pickles
followed by the storages. The pickles are a magic number, the protocol, the system, the object and the keys of storages.

Both hold a pickle that describes the tensors (`unpickle.py`), and the bytes of the storages.
"""

import functools
import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from universeg_jax.errors import WeightsError
from universeg_jax.util.files import check_regular, whole_file
from universeg_jax.weights.torch_io.unpickle import STORAGE_DTYPES, Storage, Tensor, load_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

BIG_ENDIAN = "was written on a big-endian machine (or is damaged): save it again on a little-endian one"

DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, OverflowError, struct.error)
"""Errors that zipfile raises for damaged archives."""

# Files that people mistake for a weight file: offset and content of the signature, and the kind of file.
OTHER_FORMATS = (
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (0, b"<", "an HTML or XML page, perhaps an error or login page saved by a download"),
    (0, b"\x89HDF", "an HDF5 (Keras) file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x1f\x8b", "gzip-compressed: unpack it first"),
    (8, b'{"', "a safetensors file"),
    (257, b"ustar", "a tar archive: unpack it first, or, if PyTorch 0.1 wrote it, save it with a newer one"),
)

ReadStorage = Callable[[Storage], Any]
"""Storage -> its bytes, as any buffer."""


def open_torch(file: BinaryIO) -> tuple[Any, ReadStorage]:
    """Read a file's pickle, and make the function that reads its storages.

    Raises:
        WeightsError: the file is not PyTorch's, or is one that needs more than reading tensors.
        zipfile.BadZipFile and others (DAMAGE): the archive is damaged; reading a storage may raise them, too.
    """
    head = file.read(512)
    file.seek(0)
    if not head:
        raise WeightsError("is empty")
    for offset, start, description in OTHER_FORMATS:
        if head[offset:].startswith(start):
            raise WeightsError(f"is not a PyTorch file but {description}")
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(file)
    if head.startswith(b"\x80"):
        return _open_legacy(file.read())
    raise WeightsError(f"is not a PyTorch file: it begins with {head[:16]!r}")


def _open_zip(file: BinaryIO) -> tuple[Any, ReadStorage]:
    archive = zipfile.ZipFile(file)
    members = {member.filename: member for member in archive.infolist()}
    folders = [
        name.removesuffix("/data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(folders) != 1:
        raise WeightsError(
            f"is a zip archive, but not one of torch.save: it holds {', '.join(list(members)[:5])[:200]}"
        )
    (folder,) = folders
    if f"{folder}/constants.pkl" in members:
        raise WeightsError("is a TorchScript program: in PyTorch, save the state_dict() of torch.jit.load(...)")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members.values()):
        raise WeightsError("has compressed or encrypted members, as torch.save never writes: unzip it, zip it with -0")
    # zipfile reserves memory for compress_size, and members that overlap could be read over and over.
    sizes = [(member.compress_size, member.file_size) for member in archive.infolist()]
    total = sum(size for size, _ in sizes)
    if any(stored != read for stored, read in sizes) or total > os.fstat(file.fileno()).st_size:
        raise WeightsError("is damaged: its members are larger than itself")
    if f"{folder}/byteorder" in members and archive.read(f"{folder}/byteorder") != b"little":
        raise WeightsError(BIG_ENDIAN)

    @functools.lru_cache(maxsize=1)
    def read_storage(storage: Storage) -> bytes:
        name = f"{folder}/data/{storage.key}"
        if name not in members:
            raise WeightsError(f"is damaged: it lacks {name[:100]!r}")
        return archive.read(name)

    return load_pickle(io.BytesIO(archive.read(f"{folder}/data.pkl"))), read_storage


def _open_legacy(content: bytes) -> tuple[Any, ReadStorage]:
    stream = io.BytesIO(content)
    if load_pickle(stream) != LEGACY_MAGIC or load_pickle(stream) != LEGACY_PROTOCOL:
        raise WeightsError("is a pickle, but not one of torch.save")
    system = load_pickle(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError(BIG_ENDIAN)
    storages: dict[str, Storage] = {}
    value = load_pickle(stream, storages)
    keys = load_pickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise WeightsError("is damaged: it does not list the storages it uses")

    buffers = {}
    for key in keys:
        numel = int.from_bytes(stream.read(8), "little")
        start, stop = stream.tell(), stream.tell() + storages[key].nbytes
        if numel != storages[key].numel or stop > len(content):
            raise WeightsError(f"is damaged or cut off at storage {key[:100]!r}")
        buffers[key] = memoryview(content)[start:stop]
        stream.seek(stop)
    return value, lambda storage: buffers[storage.key]


def load_torch(path: str | os.PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """Read the state dict in a file that torch.save wrote.

    A training checkpoint, {"model": {...}, "epoch": 3, ...}, gives its one dictionary of tensors. It may lie deeper,
    and hold plain values next to its tensors, which are ignored.

    Args:
        path: a file in the zip format (PyTorch since 1.6) or the legacy one.
        key: entry of a checkpoint to take, if several are dictionaries of tensors; "a.b" for an inner one.

    Returns:
        names -> arrays in the order of the file. They are writable, C-contiguous and share no memory. Their dtypes are
        float64/32/16, bfloat16 (ml_dtypes), int8 to int64, uint8 to uint64 or bool.

    Raises:
        WeightsError: the file cannot be opened, is not PyTorch's, is damaged, compressed or big-endian, asks
            for anything but tensors and plain values, or holds no state dict.
    """
    path = Path(path)
    check_regular(path, error=WeightsError)
    try:
        with open(path, "rb") as file:
            value, read_storage = open_torch(file)
            tensors = _find_state_dict(value, key)
            _check_sizes(tensors, limit=16 * 2**20 + 4 * path.stat().st_size)
            # Tensors are grouped by storage, so that each storage is read once and only one is in memory.
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
    if key is None and _is_state_dict(value):
        return value
    found = {name: entry for name, entry in _state_dicts(value).items() if entry}
    if key is not None:
        if key not in found:
            raise WeightsError(f"key={key!r} is not a dictionary of tensors; the file's keys are {_names(value)}")
        return found[key]
    if len(found) > 1:
        raise WeightsError(f"holds several dictionaries of tensors: pass key= (or --key) one of {_names(found)}")
    if found:
        return next(iter(found.values()))
    tensors = {name: entry for name, entry in value.items() if isinstance(name, str) and isinstance(entry, Tensor)}
    if not tensors:
        raise WeightsError(f"holds no dictionary of tensors alone; its keys are {_names(value)}")
    return tensors


def _state_dicts(value: Mapping[Any, Any], prefix: str = "", depth: int = 4) -> dict[str, dict[str, Tensor]]:
    """Find the dictionaries of tensors inside a checkpoint, by their keys joined with dots."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, entry in value.items():
        if not isinstance(name, str) or not isinstance(entry, dict) or depth == 0:
            continue
        if _is_state_dict(entry):
            found[prefix + name] = entry
        else:
            found |= _state_dicts(entry, f"{prefix}{name}.", depth - 1)
    return found


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
        # The second condition: NumPy limits the size of empty arrays too.
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
        path: file to write; its name usually ends in .pt or .pth.

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
        with whole_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
            for name, content in members.items():
                archive.writestr(_member(name), content)
            for index, array in enumerate(arrays.values()):
                archive.writestr(_member(f"data/{index}"), array.tobytes())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from error


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(f"archive/{name}")  # dated 1980, as PyTorch does
    member.create_system = 3  # on every system, so that the bytes are the same
    return member


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Assemble the pickle of an OrderedDict of tensors by hand.

    The pickle module can name functions of torch only if torch is installed.
    """

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
