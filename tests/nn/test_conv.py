from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from scipy.ndimage import correlate

from universeg_jax.nn.conv import LINEAR, RECTIFIED, Conv, conv2d


def test_conv2d_correlates_with_zero_padding():
    rng = np.random.default_rng(0)
    image, kernel = rng.random((1, 7, 5, 1), np.float32), rng.random((3, 3, 1, 1), np.float32)
    expected = correlate(image[0, :, :, 0], kernel[:, :, 0, 0], mode="constant")
    np.testing.assert_allclose(conv2d(image, kernel)[0, :, :, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("gain", [LINEAR, RECTIFIED])
def test_weights_start_kaiming_normal_and_biases_zero(gain):
    conv = Conv(64, 128, kernel_size=3, gain=gain, rngs=nnx.Rngs(0))
    assert conv.kernel[...].shape == (3, 3, 64, 128)
    assert np.std(conv.kernel[...]) == pytest.approx(gain / (9 * 64) ** 0.5, rel=0.01)
    assert not np.any(conv.bias[...])


def test_bias_is_added_to_every_pixel():
    conv = Conv(1, 2, kernel_size=1, gain=LINEAR, rngs=nnx.Rngs(0))
    conv.bias[...] = np.array([1.0, -2.0], np.float32)
    np.testing.assert_array_equal(conv(np.zeros((1, 3, 4, 1), np.float32))[0, 2, 3], [1, -2])


def convolve(images, kernel, padding):
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(
    ("kernel_shape", "padding"),
    [
        ((3, 3, 8, 4), ((1, 1), (1, 1))),
        ((5, 5, 1, 8), ((2, 2), (2, 2))),  # few channels
        ((3, 3, 4, 4), ((1, 0), (1, 1))),
        ((2, 3, 4, 4), ((0, 0), (1, 1))),
        ((2, 2, 3, 4), ((0, 1), (0, 1))),
        ((1, 1, 4, 2), ((0, 0), (0, 0))),
    ],
)
def test_gradients_are_those_of_the_convolution(kernel_shape, padding):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 7, 6, kernel_shape[2]), np.float32)
    kernel = rng.standard_normal(kernel_shape, np.float32)
    with jax.default_matmul_precision("highest"):
        expected, vjp = jax.vjp(partial(convolve, padding=padding), images, kernel)
        result, our_vjp = jax.vjp(partial(conv2d, padding=padding), images, kernel)
        cotangent = rng.standard_normal(expected.shape, np.float32)
        chex.assert_trees_all_close(our_vjp(cotangent), vjp(cotangent), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_second_derivatives_are_those_of_the_convolution():
    rng = np.random.default_rng(0)
    images, kernel = rng.standard_normal((1, 4, 4, 2), np.float32), rng.standard_normal((3, 3, 2, 2), np.float32)

    def penalty(kernel, function):  # of the gradient, as in sharpness-aware losses
        gradient = jax.grad(lambda k: jnp.sum(function(images, k, padding=((1, 1), (1, 1))) ** 3))(kernel)
        return jnp.sum(gradient**2)

    with jax.default_matmul_precision("highest"):
        ours, expected = (jax.grad(penalty)(kernel, function) for function in (conv2d, convolve))
    chex.assert_trees_all_close(ours, expected, rtol=1e-3)


def test_gradient_of_a_bfloat16_kernel_is_bfloat16_and_summed_in_float32():
    images, kernel = jnp.ones((1, 64, 64, 1), jnp.bfloat16), jnp.ones((1, 1, 1, 1), jnp.bfloat16)
    gradient = jax.grad(lambda k: conv2d(images, k).astype(jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.bfloat16
    assert gradient.item() == 4096
