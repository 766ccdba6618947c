"""Images of any size for a SAM, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from universeg_jax.models.sam.model import logits_to_image, prompts_to_resized, resize_longest, resized_size


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from((80, 256, 1024)))
def test_the_longer_side_becomes_what_is_asked_and_the_shape_stays(height, width, longest):
    new = resized_size((height, width), longest)
    assert max(new) == longest
    assert min(new) >= 1
    for old, side in zip((height, width), new, strict=True):
        assert abs(side - old * longest / max(height, width)) <= 1


def test_what_was_inside_of_a_box_is_there_again():
    size, longest = (30, 50), 40
    image = np.zeros((1, *size, 1), np.float32)
    image[:, 6:21, 10:35] = 1
    resized = np.asarray(resize_longest(image, longest))
    box = np.asarray(prompts_to_resized(np.float32([[10, 6, 35, 21]]), size, longest))
    rows, columns = np.nonzero(resized[0, ..., 0] > 0.5)
    np.testing.assert_allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], box[0], atol=1)
    padded = np.pad(resized, ((0, 0), (0, 40 - resized.shape[1]), (0, 0), (0, 0)))
    back = np.asarray(logits_to_image(np.moveaxis(padded - 0.5, -1, 1), size, longest))
    assert back.shape == (1, 1, *size)
    assert np.mean((back[0, 0] > 0) == (image[0, ..., 0] > 0)) > 0.97


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="0x5 has no pixels"):
        resized_size((0, 5), 80)
