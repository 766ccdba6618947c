import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.segment.postprocess import Cleaning


def mask():
    """Class 1 with components of 8, 2 and 1 voxels, and class 2 with one."""
    made = np.zeros((8, 8, 4), np.uint8)
    made[0:2, 0:2, 0:2], made[4, 0:2, 0], made[6, 6, 3], made[0, 7, 0] = 1, 1, 1, 2
    return made


@pytest.mark.parametrize(("options", "left"), [({}, 11), ({"largest": True}, 8), ({"islands": 0.2}, 10)])
def test_components_are_removed_class_by_class(options, left):
    cleaned = Cleaning(**options)(mask(), np.array([0, 1, 2]))
    assert (cleaned == 1).sum() == left
    assert (cleaned == 2).sum() == 1


def test_touching_corners_do_not_connect():
    made = np.zeros((4, 4, 4), np.uint8)
    made[0:2, 0, 0], made[2, 1, 0] = 1, 1
    assert (Cleaning(largest=True)(made, np.array([0, 1])) == 1).sum() == 2


def test_a_part_of_all_is_refused():
    with pytest.raises(InputError, match="islands=1"):
        Cleaning(islands=1)
