"""Write files in PyTorch's two formats by hand."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from universeg_jax.errors import WeightsError
from universeg_jax.weights.torch_io.file import load_torch

FILES = Path(__file__).parent / "torch_files"
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
PROTOCOL = pickle.dumps(1001, 2)
LITTLE = pickle.dumps({"little_endian": True}, 2)


def zip_of(members, compression=zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return stream.getvalue()


def members_of(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def zip_with(body: bytes, storage: bytes = b"") -> bytes:
    return zip_of({"data.pkl": body, "data/0": storage})


def legacy_with(body: bytes, storage: bytes = b"") -> bytes:
    numel = struct.pack("<q", len(storage) // 4)
    return MAGIC + PROTOCOL + LITTLE + body + pickle.dumps(["0"], 2) + numel + storage


BOTH_FORMATS = pytest.mark.parametrize("file_with", [zip_with, legacy_with])


def refusal(tmp_path, content: bytes, **options) -> str:
    """Return the error of load_torch for a file with this content."""
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_torch(path, **options)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000
    return str(caught.value)
