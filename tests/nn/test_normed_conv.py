"""Convolutions with a batch norm folded into them, against the definition."""

import numpy as np
import pytest
from flax import nnx
from jax import lax

from universeg_jax.nn.layers import EPSILON, NormedConv, NormedDepthwiseConv


def randomised(conv):
    rng = np.random.default_rng(0)
    for name, value in (("scale", 1), ("bias", 0), ("mean", 0), ("variance", 3)):
        parameter = getattr(conv, name)
        parameter[...] = value + 0.5 * rng.standard_normal(parameter.shape)
    return conv


def definition(conv, x, groups):
    pad = [(conv.kernel.shape[0] // 2,) * 2] * 2
    layout = ("NHWC", "HWIO", "NHWC")
    strides = (conv.stride,) * 2
    y = lax.conv_general_dilated(
        x, conv.kernel[...], strides, pad, dimension_numbers=layout, feature_group_count=groups
    )
    return conv.scale[...] * (y - conv.mean[...]) / np.sqrt(conv.variance[...] + EPSILON) + conv.bias[...]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_and_its_norm_are_one(size, stride):
    conv = randomised(NormedConv(3, 5, kernel_size=size, stride=stride, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(1).random((2, 6, 8, 3), np.float32)
    np.testing.assert_allclose(conv(x), definition(conv, x, 1), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 6, 8, 4), (1, 5, 7, 4)])
def test_shifted_products_are_a_depthwise_convolution(shape, stride):
    conv = randomised(NormedDepthwiseConv(4, stride=stride, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(1).random(shape, np.float32)
    np.testing.assert_allclose(conv(x), definition(conv, x, 4), atol=1e-5)
