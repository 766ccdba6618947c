import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from universeg_jax.models.protosam.config import ComponentsConfig, Keep, MaskPrompt, PromptsConfig
from universeg_jax.models.protosam.prompts import choose_components, count, find_components, make_prompts

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


LOGITS = np.full((8, 8), -1.0, np.float32)
LOGITS[2:4, 1:4] = 1
LOGITS[3, 2] = 2  # the most confident of the first component
LOGITS[6, 6] = 5  # the second
LOGITS[0, 7] = -4  # the most certain background
LOGITS[1, 2] = -2  # the most certain pixel of the ring around the first


def prompts(**options):
    components = sorted(find_components(1 / (1 + np.exp(-LOGITS))), key=lambda c: -c.area)
    return make_prompts(components, LOGITS, PromptsConfig(**{"ring": 1, "box_margin": 0.0, **options}), (4, 4))


def test_boxes():
    assert prompts().boxes.tolist() == [[1, 2, 3, 3], [6, 6, 6, 6]]
    assert prompts(box_margin=0.25).boxes.tolist() == [[0, 0, 5, 5], [4, 4, 7, 7]]
    assert prompts(box=False, centroid=True).boxes is None


def test_points():
    made = prompts(confident_points=2, centroid=True, global_negative=True, local_negative=True)
    assert made.points[0, [0, 2, 3, 4]].tolist() == [[2, 3], [2, 2.5], [7, 0], [2, 1]]
    assert made.labels[0].tolist() == [1, 1, 1, 0, 0]
    assert made.points[1, 0].tolist() == [6, 6]
    assert made.labels[1].tolist() == [1, -1, 1, 0, 0]  # one pixel has no second
    assert prompts().points is None


def test_without_sure_background_there_is_no_negative_point():
    components = find_components(np.ones((8, 8), np.float32))
    logits = np.full((8, 8), 1.0, np.float32)
    config = PromptsConfig(global_negative=True, local_negative=True)
    assert make_prompts(components, logits, config, (4, 4)).labels.tolist() == [[-1, -1]]


def test_masks_stay_negative_outside_and_are_numbers_of_the_decoder():
    binary = prompts(mask=MaskPrompt.BINARY).masks
    assert binary.shape == (2, 4, 4, 1)
    assert np.unique(binary).tolist() == [-8, 10]  # an unsigned byte would make 248 of -8
    logits = prompts(mask=MaskPrompt.LOGITS).masks
    np.testing.assert_array_equal(logits > 0, binary > 0)
    assert logits[1, 1, 1] < 0  # another component's inside
    assert prompts().masks is None


def test_a_prompt_asks_for_something():
    with pytest.raises(ValueError, match="a prompt needs a box, a point or a mask"):
        PromptsConfig(box=False)
    with pytest.raises(ValueError, match="confident_points=-1: pass a whole number at least 0"):
        PromptsConfig(confident_points=-1)
