import filelock
import pytest
from jax._src.lru_cache import LRUCache

from universeg_jax.util import compiled_code
from universeg_jax.util.compiled_code import record_entries, remove_unsound


@pytest.fixture
def kept(tmp_path):
    """JAX's cache with two whole entries, which have checksums."""
    kept = LRUCache(str(tmp_path), max_size=1000)
    for name in ("one", "two"):
        kept.put(name, name.encode())
    record_entries(tmp_path)
    return kept


def entries(folder):
    return sorted(path.name for path in folder.glob("*-cache"))


def test_an_unfinished_entry_no_longer_keeps_jax_from_writing(kept, tmp_path):
    (tmp_path / "half-cache").write_bytes(b"ha")
    with pytest.raises(FileNotFoundError):
        kept.put("other", b"other")
    remove_unsound(tmp_path)
    kept.put("other", b"other")
    assert entries(tmp_path) == ["one-cache", "other-cache", "two-cache"]


def test_an_entry_that_another_process_is_writing_stays(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_code, "PATIENCE", 0)
    (tmp_path / "new-cache").write_bytes(b"ne")
    with filelock.FileLock(tmp_path / ".lockfile"):
        remove_unsound(tmp_path)
    assert entries(tmp_path) == ["new-cache", "one-cache", "two-cache"]


def test_every_flipped_bit_removes_its_entry_only(kept, tmp_path):
    whole = (tmp_path / "one-cache").read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "one-cache").write_bytes(damaged)
        remove_unsound(tmp_path)
        assert entries(tmp_path) == ["two-cache"]
        kept.put("one", whole)
        record_entries(tmp_path)
    assert kept.get("one") == whole


def test_every_flipped_bit_of_a_checksum_removes_its_entry_only(kept, tmp_path):
    checksum = (tmp_path / "one-crc").read_bytes()
    for bit in range(8 * len(checksum)):
        damaged = bytearray(checksum)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "one-crc").write_bytes(damaged)
        remove_unsound(tmp_path)
        assert entries(tmp_path) == ["two-cache"]
        kept.put("one", b"one")
        record_entries(tmp_path)
        assert (tmp_path / "one-crc").read_bytes() == checksum


def test_entries_that_jax_removed_leave_no_checksum(kept, tmp_path):
    kept.put("large", bytes(998))  # makes room for itself
    assert entries(tmp_path) == ["large-cache"]
    remove_unsound(tmp_path)
    assert not list(tmp_path.glob("*-crc"))
