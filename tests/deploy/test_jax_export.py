import jax
import numpy as np
import pytest
from jax import export

from universeg_jax.deploy.formats import PLATFORMS, to_jax
from universeg_jax.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize("activation", [None, jax.nn.leaky_relu])
def test_artifact_gives_our_logits_for_any_number_of_targets_and_entries(network, episode, activation):
    small = network(cross_activation=activation)
    artifact = export.deserialize(bytearray(to_jax(small, size=16)))
    assert artifact.platforms == PLATFORMS
    for targets, entries in ((1, 1), (3, 5)):
        target, images, labels, mask = episode(targets, entries)
        expected = np.asarray(small(target, images[None], labels[None], mask[None]))
        found = artifact.call(target, images, labels, mask)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("size", "nearest"), [(18, "16"), (19, "20"), (0, "4"), (-8, "4")])
def test_sizes_the_network_cannot_take_are_refused(network, size, nearest):
    with pytest.raises(InputError, match=f"size is {size}; .* divisible by 4: pass {nearest}"):
        to_jax(network(), size=size)
