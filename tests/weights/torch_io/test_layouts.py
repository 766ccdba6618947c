"""Files that are not weights, or of a layout that is not read: one clear error that says what they are."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from tests.helpers.torch_crafting import FILES, MAGIC, PROTOCOL, members_of, refusal, zip_of, zip_with
from universeg_jax.errors import WeightsError
from universeg_jax.weights.torch_io.file import load_torch


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (struct.pack("<Q", 2) + b'{"a":{}}', "safetensors"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"some words", "begins with b'some words'"),
        (pickle.dumps({"w": 1.0}), "not one of torch.save"),
        (zip_of({"w.npy": b""}), "archive/w.npy"),
        (zip_of({"data.pkl": b"N.", "constants.pkl": b"N."}), "TorchScript"),
    ],
)
def test_other_files_are_recognised(tmp_path, content, message):
    assert message in refusal(tmp_path, content)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pt: cannot be read: No such file"):
        load_torch(tmp_path / "none.pt")
    with pytest.raises(WeightsError, match="is a folder; pass a regular file"):
        load_torch(tmp_path)


@pytest.mark.parametrize("value", [{"epoch": 3}, [1, 2], 3.0, {"model": {}}])
def test_no_state_dict(tmp_path, value):
    assert "holds " in refusal(tmp_path, zip_with(pickle.dumps(value, 2)))


def test_big_endian(tmp_path):
    members = members_of(FILES / "zip.pt")
    assert "big-endian" in refusal(tmp_path, zip_of({**members, "byteorder": b"big"}))
    big = pickle.dumps({"little_endian": False}, 2)
    assert "big-endian" in refusal(tmp_path, MAGIC + PROTOCOL + big + pickle.dumps({}, 2) + pickle.dumps([], 2))


def test_files_without_a_byteorder_record_are_read(tmp_path):
    """As PyTorch 1.6 to 2.0 wrote them."""
    members = members_of(FILES / "zip.pt")
    del members["byteorder"], members[".format_version"], members[".storage_alignment"]
    (tmp_path / "weights.pt").write_bytes(zip_of(members))
    assert load_torch(tmp_path / "weights.pt")["scalar"] == 7.5


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members(tmp_path, compression):
    assert "compressed" in refusal(tmp_path, zip_of(members_of(FILES / "zip.pt"), compression))


@pytest.mark.parametrize("file", ["zip.pt", "legacy.pt"])
def test_files_cut_off_anywhere(tmp_path, file):
    content = (FILES / file).read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        refusal(tmp_path, content[:length])


def test_wrong_checksum_and_missing_storage(tmp_path):
    content = (FILES / "zip.pt").read_bytes()
    values = np.arange(12, dtype=np.float32).tobytes()
    assert "Bad CRC-32" in refusal(tmp_path, content.replace(values, values[::-1], 1))
    members = members_of(FILES / "zip.pt")
    del members["data/0"]
    assert "lacks 'archive/data/0'" in refusal(tmp_path, zip_of(members))


def test_overlapping_members(tmp_path):
    """A directory whose entries all point at one member would let it be read many times."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"}.")
        archive.writestr("archive/data/0", bytes(10_000))
        for _ in range(5):
            archive.filelist.append(archive.filelist[-1])
    assert "larger than itself" in refusal(tmp_path, stream.getvalue())


def test_claimed_member_size(tmp_path):
    content = bytearray(zip_of({"data.pkl": b"}."}))
    compressed_size = content.rfind(b"PK\x01\x02") + 20
    content[compressed_size : compressed_size + 4] = b"\xff\xff\xff\x7f"
    assert "larger than itself" in refusal(tmp_path, bytes(content))
