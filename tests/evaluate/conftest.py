import pytest

from tests.helpers.discs import Discs, Threshold


@pytest.fixture(scope="session")
def discs():
    return Discs


@pytest.fixture
def threshold():
    return Threshold()
