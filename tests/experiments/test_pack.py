import numpy as np
import pytest

from experiments.pack import pack
from tests.helpers.make_sources import npz
from universeg_jax.data.readers import npz as reader
from universeg_jax.errors import InputError


def test_a_pack_reads_as_its_source(tmp_path):
    npz(tmp_path / "in" / "discs.npz", 7, licence="CC0")
    npz(tmp_path / "in" / "more.npz", 3)
    size = pack(tmp_path / "in", tmp_path / "out", at_most=3, mebibytes=1)
    assert size == sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) / 2**20
    for name, taken in (("discs.npz", [0, 3, 6]), ("more.npz", [0, 1, 2])):
        before, after = (reader.load(tmp_path / folder / name) for folder in ("in", "out"))
        for array in before:
            np.testing.assert_array_equal(after[array], before[array][taken])
    source = reader.find(tmp_path / "out")[0]
    assert (source.licence, len(source.items)) == ("CC0", 3)


def test_what_cannot_be_packed_leaves_nothing(tmp_path):
    npz(tmp_path / "in" / "discs.npz", 7)
    with pytest.raises(InputError, match=r"MiB with at_most=300 .*the limit is 0\.0001 MiB"):
        pack(tmp_path / "in", tmp_path / "out", at_most=300, mebibytes=0.0001)
    assert not (tmp_path / "out").exists()
    (tmp_path / "in" / "broken.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"broken.npz: cannot be read"):
        pack(tmp_path / "in", tmp_path / "out", at_most=300, mebibytes=1)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no NAME\.npz"):
        pack(tmp_path, tmp_path / "out", at_most=1, mebibytes=1)
    npz(tmp_path / "in" / "discs.npz", 2)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        pack(tmp_path / "in", tmp_path / "out", at_most=1, mebibytes=1)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("number", [0, -1])
def test_no_images_are_refused(tmp_path, number):
    with pytest.raises(InputError, match=f"at_most={number}: pass 1 image"):
        pack(tmp_path, tmp_path / "out", at_most=number, mebibytes=1)
