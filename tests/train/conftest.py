import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.helpers.array_run import compiling
from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import npz


@pytest.fixture(scope="package", autouse=True)
def compiled_code(tmp_path_factory):
    """A folder for compiled code: runs of the same network compile it once, those in other processes too.

    Compiling is most of the time of a test, so it is also done in a hurry.
    """
    folder = tmp_path_factory.mktemp("compiled")
    options = compiling(folder)
    before = {name: jax.config.values[name] for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    """Two datasets of one label each."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("first", "second"):
        npz(folder / "sources" / f"{name}.npz", 10)
    prepare_all(folder / "sources", folder / "prepared")
    return folder / "prepared"
