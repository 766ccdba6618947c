import numpy as np
import pytest

from universeg_jax.models.protosam.components import find_components
from universeg_jax.models.protosam.config import MaskPrompt, PromptsConfig
from universeg_jax.models.protosam.prompts import make_prompts

LOGITS = np.full((8, 8), -1.0, np.float32)
LOGITS[2:4, 1:4] = 1
LOGITS[3, 2] = 2  # the most confident of the first component
LOGITS[6, 6] = 5  # the second
LOGITS[0, 7] = -4  # the surest background
LOGITS[1, 2] = -2  # the surest of the ring around the first


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
