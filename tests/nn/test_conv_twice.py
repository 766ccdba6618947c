import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.nn.conv import conv2d
from universeg_jax.nn.conv_twice import compose, conv_twice, conv_twice_pixels, unfold
from universeg_jax.nn.resample import max_pool


@jax.jit
def in_turn(images, first, second):
    """Two zero-padded convolutions, one program for each shape."""
    return conv2d(conv2d(images, first), second)


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_composed_kernel_is_the_two_kernels_in_a_row():
    images, first, second = random(0, 2, 9, 8, 2), random(1, 3, 3, 2, 5), random(2, 3, 3, 5, 4)
    unpadded = ((0, 0), (0, 0))
    in_two_steps = conv2d(conv2d(images, first, unpadded), second, unpadded)
    np.testing.assert_allclose(conv2d(images, compose(first, second), unpadded), in_two_steps, atol=1e-4)


@settings(deadline=None, derandomize=True, max_examples=12)
@given(st.integers(3, 11), st.integers(3, 11), st.integers(1, 3), st.integers(1, 3))
def test_conv_twice_is_two_zero_padded_convolutions(height, width, channels, count):
    images = random(0, count, height, width, channels)
    first, second = random(1, 3, 3, channels, 4), random(2, 3, 3, 4, 5)
    found = jax.jit(conv_twice)(images, first, second)
    np.testing.assert_allclose(found, in_turn(images, first, second), rtol=0, atol=1e-4)


@pytest.mark.parametrize("argument", [0, 1, 2])
def test_conv_twice_has_the_gradients_of_two_convolutions(argument):
    arguments = random(0, 1, 6, 7, 2), random(1, 3, 3, 2, 4), random(2, 3, 3, 4, 3)

    def gradient(function):
        return jax.jit(jax.grad(lambda *args: (function(*args) ** 2).sum(), argument))(*arguments)

    expected = gradient(in_turn)
    np.testing.assert_allclose(gradient(conv_twice), expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(2, 8), (4, 4), (10, 6)])
def test_folded_convolution_and_pooling_are_the_plain_ones(height, width):
    images, first, second = random(0, 2, height, width, 2), random(1, 3, 3, 2, 4), random(2, 3, 3, 4, 5)
    pixels, expected = jax.jit(conv_twice_pixels)(images, first, second), in_turn(images, first, second)
    np.testing.assert_allclose(unfold(np.concatenate(pixels, axis=3)), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.maximum.reduce(pixels), max_pool(expected), rtol=0, atol=1e-4)
