import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import filelock
import pytest
from jax._src.lru_cache import LRUCache

from universeg_jax import cache
from universeg_jax.cache import keep_compiled_code, record_entries, remove_unsound

NAMES = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_COMPILATION_CACHE_MAX_SIZE",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
)


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is as it was after the test
        del os.environ[name]


def test_a_folder_of_the_users_own_keeps_its_limits(tmp_path):
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path)
    keep_compiled_code()
    assert [name for name in NAMES if name in os.environ] == ["JAX_COMPILATION_CACHE_DIR"]


def test_otherwise_a_gigabyte_is_kept_but_for_limits_that_are_set(monkeypatch, tmp_path):
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path))
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = "7"
    keep_compiled_code()
    assert [os.environ[name] for name in NAMES] == [str(tmp_path / "compiled"), "7", "0.1"]


@pytest.mark.parametrize("kind", ["read-only", "nearly full"])
def test_a_cache_that_takes_no_files_is_only_read(monkeypatch, tmp_path, kind):
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path))
    if kind == "nearly full":
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=cache.ROOM - 1))
    else:

        def refuse(dir):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    keep_compiled_code()
    assert [os.environ[name] for name in NAMES] == [str(tmp_path / "compiled"), "-1", "1000000000"]
    assert not list((tmp_path / "compiled").iterdir())


def test_a_damaged_entry_is_removed_and_a_read_only_folder_with_one_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path))
    folder = tmp_path / "compiled"
    LRUCache(str(folder), max_size=1000).put("entry", b"code")
    record_entries(folder)
    (folder / "entry-cache").write_bytes(b"cope")
    monkeypatch.setattr(cache, "ROOM", 2**80)
    keep_compiled_code()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setattr(cache, "ROOM", 0)
    keep_compiled_code()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert not list(folder.glob("entry*"))


PROGRAM = """
from universeg_jax.cache import keep_compiled_code
keep_compiled_code()
import jax, jax.numpy as jnp
jax.monitoring.register_event_listener(lambda event, **_: print(event))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((64, 64)))
"""


def test_compiled_code_in_a_read_only_cache_is_read_without_a_warning(tmp_path):
    """Once with a cache that takes files, once with folders that cannot be written, for which a program stands in."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment |= {"UNIVERSEG_JAX_CACHE": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    refusing = "import tempfile\ndef refuse(dir): raise OSError(30, 'Read-only file system')\n"
    refusing += "tempfile.TemporaryFile = refuse\n"
    first, second = (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        for program in (PROGRAM, refusing + PROGRAM)
    )
    assert "/jax/compilation_cache/cache_hits" not in first.stdout
    assert "/jax/compilation_cache/cache_hits" in second.stdout
    assert second.stderr == ""
    assert list((tmp_path / "compiled").glob("*-crc"))  # written when the first process ended


def test_what_jax_needs_for_a_limit_is_installed_with_the_package():
    """Without it nothing is kept, and every command warns."""
    assert any(
        need.startswith("filelock") and "extra" not in need for need in importlib.metadata.requires("universeg-jax")
    )


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
    monkeypatch.setattr(cache, "PATIENCE", 0)
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
