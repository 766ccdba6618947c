import pytest

import universeg_jax.weights
from tests.helpers.stand_in import Brightness, write_task


@pytest.fixture
def brightness(monkeypatch):
    """Every name of weights loads the stand-in."""
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: Brightness(), raising=False)


@pytest.fixture
def task(tmp_path):
    """A folder with support/, images/ and labels/ of one task."""
    write_task(tmp_path)
    return tmp_path
