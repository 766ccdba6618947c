import numpy as np
import pytest

from tests.helpers.random_networks import SMALL, episode, model_with_biases
from universeg_jax.parallel import device_mesh, over_devices


@pytest.fixture(scope="module")
def small():
    return model_with_biases(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "support"), [(1, 4), (4, 1), (2, 2)])
@pytest.mark.parametrize("sets", [1, 3])
def test_several_devices_give_the_logits_of_one(small, data, support, sets):
    target, images, labels = episode(0, targets=3, sets=sets, entries=5, height=16, width=12)
    logits = over_devices(small, device_mesh(data=data, support=support))(target, images, labels)
    np.testing.assert_allclose(logits, small(target, images, labels), rtol=0, atol=1e-5)


def test_masks_are_respected(small):
    target, images, labels = episode(0, targets=2, sets=2, entries=3, height=8, width=8)
    mask = np.array([[True, False, True], [False, True, True]])
    logits = over_devices(small, device_mesh(data=1, support=4))(target, images, labels, mask)
    np.testing.assert_allclose(logits, small(target, images, labels, mask), rtol=0, atol=1e-5)


def test_more_devices_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="4 x 2 needs 8 devices, but there are 4"):
        device_mesh(data=4, support=2)
