import dataclasses

import numpy as np
import pytest

from tests.helpers.stacks import Intensity
from tests.helpers.tiny_encoder import NETWORK, STACKS, config
from universeg_jax.errors import InputError
from universeg_jax.train.encoder.test_time import TestTimeTraining
from universeg_jax.weights.mapping import get_parameters


class Keeper(Intensity):
    """A method that keeps the network that it was made from."""

    made: list = []  # noqa: RUF012 - of all instances

    def __init__(self, network):
        super().__init__()
        self.made.append(network)


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    options = dict(steps=2, make_method=Keeper, name="tiny", network=NETWORK)
    return TestTimeTraining(config(), store=tmp_path_factory.mktemp("store"), **options)


def test_each_scan_trains_once_and_from_the_same_start(method):
    Keeper.made.clear()
    support = STACKS[2].organ("ball")
    first = method.segment(support, STACKS[0].organ("ball"))
    np.testing.assert_array_equal(first, Intensity().segment(support, STACKS[0].organ("ball")))
    method.segment(support, STACKS[0].organ("rod"))
    assert len(Keeper.made) == 1
    method.segment(support, STACKS[1].organ("ball"))
    method.segment(support, STACKS[0].organ("ball"))
    assert len(Keeper.made) == 3
    one, other, again = (get_parameters(network) for network in Keeper.made)
    before, name = get_parameters(NETWORK), "blocks.0.qkv.kernel"
    assert not np.allclose(one[name], before[name])
    assert not np.allclose(one[name], other[name])
    np.testing.assert_array_equal(one[name], again[name])


def test_the_scan_must_be_known(method):
    query = dataclasses.replace(STACKS[0].organ("ball"), scan=None)
    with pytest.raises(InputError, match="test-time training needs the scan"):
        method.segment(STACKS[1].organ("ball"), query)


def test_steps_are_checked():
    with pytest.raises(InputError, match="steps=0"):
        TestTimeTraining(config(), steps=0, make_method=Keeper, name="tiny", network=NETWORK)
