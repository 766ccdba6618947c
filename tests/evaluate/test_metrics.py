import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice


def test_by_hand():
    assert dice(np.array([True, True, False, False]), np.array([False, True, True, True])) == pytest.approx(2 / 5)


def test_empty_masks():
    empty, full = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    assert dice(empty, empty) == 1
    assert dice(empty, full) == dice(full, empty) == 0


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 20), width=st.integers(1, 20))
def test_symmetric_and_between_0_and_1(seed, height, width):
    a, b = np.random.default_rng(seed).random((2, height, width)) < 0.3
    assert dice(a, b) == dice(b, a)
    assert 0 <= dice(a, b) <= 1
    assert dice(a, a) == 1


def test_refuses_class_values_and_unlike_shapes():
    with pytest.raises(InputError, match="uint8"):
        dice(np.zeros(3, np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(InputError, match=r"\(3,\) and \(4,\)"):
        dice(np.zeros(3, bool), np.zeros(4, bool))
