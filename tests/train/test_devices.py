from dataclasses import replace

import pytest

from tests.helpers.array_data import STAGE
from universeg_jax.errors import InputError
from universeg_jax.train.devices import Devices


@pytest.mark.parametrize(("data", "support"), [(5, 1), (2, 3), (0, 1), (1, 0)])
def test_devices_that_are_not_there_are_refused(data, support):
    with pytest.raises(InputError, match=f"devices {data} x {support}: there are 4"):
        Devices(data, support)


def test_all_are_shared_out_to_support_sets():
    assert [Devices.all(support=number) for number in (1, 2, 4)] == [Devices(4), Devices(2, 2), Devices(1, 4)]
    with pytest.raises(InputError, match="support=3: pass a number that divides the 4 devices"):
        Devices.all(support=3)


def test_batches_are_shared_evenly():
    Devices(2, 2).check(replace(STAGE, batch_size=4, support_size=6))
    with pytest.raises(InputError, match="batch_size=3: 2 devices cannot share it evenly; pass a multiple of 2"):
        Devices(2, 2).check(replace(STAGE, batch_size=3, support_size=6))
    with pytest.raises(InputError, match="support_size=5: 4 devices cannot share it evenly; pass a multiple of 4"):
        Devices(1, 4).check(replace(STAGE, batch_size=3, support_size=5))
    with pytest.raises(InputError, match="support_deck=1: 2 devices cannot share it evenly; pass a multiple of 2"):
        Devices(2, 2).check(replace(STAGE, support_size=6, support_deck=(6, 1)))
