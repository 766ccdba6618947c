import importlib.metadata
import os

import pytest

from universeg_jax.cache import keep_compiled_code

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


def test_what_jax_needs_for_a_limit_is_installed_with_the_package():
    """Without it nothing is kept, and every command warns."""
    assert any(
        need.startswith("filelock") and "extra" not in need for need in importlib.metadata.requires("universeg-jax")
    )
