"""Settings of a test run: devices, precision, compiled code that is shared, and no weights of this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

# Set before anything uses a device: four CPU devices for the tests of sharding, and float32 products in full.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_default_matmul_precision", "highest")

# XLA's former way to compile fusions, also in processes that tests start: it takes a third less time.
FAST_TO_COMPILE = "--xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FAST_TO_COMPILE}".strip()

# Modules whose annotations of shapes and dtypes are checked in each call. Set before anything imports them.
install_import_hook(
    [
        "universeg_jax.nn",
        "universeg_jax.models.dinov2",
        "universeg_jax.models.protosam.alp",
        "universeg_jax.models.sam",
        "universeg_jax.models.universeg",
        "universeg_jax.parallel",
        "universeg_jax.train.losses",
        "universeg_jax.data.augment.operations",
        "experiments.unet",
    ],
    "beartype.beartype",
)


def pytest_configure(config: pytest.Config) -> None:
    """Compile quickly, and share compiled code with other workers, the commands that tests start, and the next run.

    Compiling is most of the time of the tests, and their networks are tiny. A folder that the user chose stays as it
    is. The folder has no limit of size: with a limit, an entry that a killed process left unfinished would keep all
    others from being written.
    """
    _set_for_all_processes("jax_disable_most_optimizations", True)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        _set_for_all_processes("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        _set_for_all_processes("jax_persistent_cache_min_compile_time_secs", 0.05)


def _set_for_all_processes(name: str, value: bool | float | str) -> None:
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests, so that no worker is left with a long file at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def only_shipped_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    """Hide downloaded weights and the package index, except from tests that compare with them."""
    if not request.node.get_closest_marker("compare"):
        monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(empty_cache))
        monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def compiled_as_by_users() -> Iterator[None]:
    """Compile with all optimisations, for tests of real sizes and of what compilers may change."""
    _set_for_all_processes("jax_disable_most_optimizations", False)
    yield
    _set_for_all_processes("jax_disable_most_optimizations", True)
