import pytest

from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import npz


@pytest.fixture(scope="package")
def compiled_code(tmp_path_factory):
    """A folder of compiled code for processes that may be killed while they write to it."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    """Two datasets of one label each."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("first", "second"):
        npz(folder / "sources" / f"{name}.npz", 10)
    prepare_all(folder / "sources", folder / "prepared")
    return folder / "prepared"
