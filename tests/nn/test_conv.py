import numpy as np
import pytest
from flax import nnx
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
