import pytest

from universeg_jax import weights
from universeg_jax.errors import InputError
from universeg_jax.segment.model import load_in_context


def test_weights_of_a_network_that_cannot_be_shown_examples_are_refused(monkeypatch):
    monkeypatch.setattr(weights, "load", lambda name: object())
    with pytest.raises(InputError, match="dinov2-vits14: these are weights of a object"):
        load_in_context("dinov2-vits14")
