import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.app.pictures import VISIBLE, Style, draw_layer, read_layer

COLOURS = {1: "#E69F00", 2: "#56B4E9", 5: "#009E73"}
RGB = {1: (230, 159, 0), 2: (86, 180, 233), 5: (0, 158, 115)}
MASK = np.random.default_rng(0).choice([0, 1, 2, 5], size=(12, 17))


def brush(pixels, where, value, opacity):
    """Paint as a browser does: the brush's colour over what is there, both with their opacity."""
    out = pixels.astype(np.float64)
    below, alpha = out[where][:, 3:] / 255, opacity
    total = alpha + below * (1 - alpha)
    colour = (np.array(RGB[value]) * alpha + out[where][:, :3] * below * (1 - alpha)) / total
    out[where] = np.concatenate([colour, 255 * total], axis=1)
    return np.round(out).astype(np.uint8)


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("opacity", [0.1, 0.5, 1.0])
def test_an_unpainted_layer_gives_its_mask(style, opacity):
    layer = draw_layer(MASK, COLOURS, opacity=opacity, style=style)
    np.testing.assert_array_equal(read_layer(layer.pixels, layer, COLOURS), MASK)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 5]), st.floats(0.3, 1.0), st.sampled_from(list(Style)), st.integers(1, 3))
def test_strokes_over_anything_become_the_class_of_the_brush(value, opacity, style, strokes):
    layer = draw_layer(MASK, COLOURS, opacity=opacity, style=style)
    where = np.zeros(MASK.shape, bool)
    where[2:9, 3:12] = True
    painted = layer.pixels
    for _ in range(strokes):
        painted = brush(painted, where, value, max(opacity, 0.5))
    np.testing.assert_array_equal(read_layer(painted, layer, COLOURS), np.where(where, value, MASK))


def test_the_eraser_clears():
    layer = draw_layer(MASK, COLOURS)
    painted = layer.pixels.copy()
    painted[:4] = 0
    expected = MASK.copy()
    expected[:4] = 0
    np.testing.assert_array_equal(read_layer(painted, layer, COLOURS), expected)


def test_the_soft_edge_of_a_brush_does_not_count():
    layer = draw_layer(np.zeros((4, 4), int), COLOURS)
    painted = layer.pixels.copy()
    painted[1, 1] = (*RGB[1], 12)
    assert (read_layer(painted, layer, COLOURS) == 0).all()


def test_an_outline_leaves_the_inside_nearly_clear():
    values = np.zeros((9, 9), int)
    values[2:7, 2:7] = 1
    alpha = draw_layer(values, COLOURS, style=Style.OUTLINE).pixels[..., 3]
    assert alpha[4, 4] < 40
    assert (alpha[2, 2:7] == 255).all()
    assert (alpha[values == 0] < VISIBLE).all()


def test_a_layer_of_another_moment_is_not_taken_for_this_one():
    layer = draw_layer(np.zeros((8, 8), int), COLOURS)
    clear, other = np.zeros((8, 8, 4), np.uint8), layer.pixels.copy()
    other[[0, 0, -1], [0, -1, 0], 3] = layer.pixels[[0, 0, -1], [0, -1, 0], 3] % 16 + 5
    assert layer.is_shown(layer.pixels)
    for pixels in (clear, other, np.zeros((9, 8, 4), np.uint8)):
        assert not layer.is_shown(pixels)
    everything = np.ones((8, 8), bool)
    assert layer.is_shown(brush(layer.pixels, everything, 1, 1.0))
    whole = draw_layer(np.ones((8, 8), int), COLOURS)
    assert whole.is_shown(whole.pixels)
    assert not whole.is_shown(clear)
