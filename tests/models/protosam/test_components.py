import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from universeg_jax.models.protosam.components import choose_components, count, find_components
from universeg_jax.models.protosam.config import ComponentsConfig, Keep

MAP = np.array(
    [
        [0.9, 0.1, 0.1, 0.1, 0.1],
        [0.1, 0.6, 0.1, 0.1, 0.1],
        [0.1, 0.1, 0.1, 0.8, 0.8],
        [0.1, 0.1, 0.1, 0.8, 0.1],
    ],
    np.float32,
)


def test_components_of_a_small_map():
    right, left = find_components(MAP)
    assert right.box == (3, 2, 4, 3)
    assert right.area == 3
    assert right.box_area == 4
    assert right.centroid == pytest.approx((10 / 3, 7 / 3))
    assert right.confidence == pytest.approx(2.4 / 5)
    assert left.box == (0, 0, 1, 1)  # corners touch
    assert left.confidence == pytest.approx(1.5 / 5)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0.0, 0.4, 0.7, 1.0]))
)
def test_components_divide_the_mask(probability):
    components = find_components(probability)
    total = sum((component.mask.astype(int) for component in components), np.zeros(probability.shape, int))
    np.testing.assert_array_equal(total, probability > 0.5)
    for component in components:
        x0, y0, x1, y1 = component.box
        assert component.mask[y0 : y1 + 1, x0 : x1 + 1].sum() == component.area
        assert x0 <= component.centroid[0] <= x1
        assert y0 <= component.centroid[1] <= y1
    confidences = [component.confidence for component in components]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) <= 1 + 1e-5


def test_which_are_kept():
    components = find_components(MAP)
    assert choose_components(components, ComponentsConfig(keep=Keep.ALL), 1) == components
    assert choose_components(components, ComponentsConfig(keep=Keep.MOST_CONFIDENT), 2) == components[:1]
    assert choose_components(components, ComponentsConfig(keep=Keep.AS_SUPPORT), 1) == components[:1]
    assert choose_components(components, ComponentsConfig(keep=Keep.AS_SUPPORT), 5) == components
    assert choose_components(components, ComponentsConfig(keep=Keep.AS_SUPPORT), 0) == []
    assert choose_components(components, ComponentsConfig(keep=Keep.AS_SUPPORT), None) == components
    assert choose_components([], ComponentsConfig(), 1) == []


def test_specks_are_neither_kept_nor_counted():
    config = ComponentsConfig(keep=Keep.ALL, smallest=0.7)
    assert [component.area for component in choose_components(find_components(MAP), config, 2)] == [3]
    assert count(MAP > 0.5, config) == 1
    assert count(MAP > 0.5, ComponentsConfig()) == 2
    assert count(MAP > 2, ComponentsConfig()) == 0
