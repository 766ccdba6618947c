"""The layouts of PyTorch weight files: where their pickle and their storages lie.

Two exist, defined by torch/serialization.py: a zip archive (PyTorch since 1.6), and the legacy sequence
of five pickles (magic number, protocol, system, object, storage keys) and the storages.
"""

import functools
import io
import os
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

from universeg_jax.errors import WeightsError
from universeg_jax.weights.torch_names import Storage
from universeg_jax.weights.torch_pickle import load_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

BIG_ENDIAN = "was written on a big-endian machine (or is damaged): save it again on a little-endian one"

DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, OverflowError, struct.error)
"""What zipfile raises on damaged archives."""

# What people mistake for a weight file: where it begins, how, and what it is.
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
