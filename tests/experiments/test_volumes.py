"""Tables of the experiments on volumes."""

import numpy as np
import pytest

from experiments.volume_cleaning import WAYS
from experiments.volume_memory import body
from experiments.volumes import CHOICES, ORGANS, table
from universeg_jax.segment.report import environment


def test_choices_are_compared_on_the_same_scans():
    first, second = list(CHOICES)[:2]
    dices = [(first, 1, 0.5), (first, 2, 0.9), (second, 1, 0.6)]
    records = [{"choice": name, "target": scan, **dict.fromkeys(ORGANS.values(), value)} for name, scan, value in dices]
    about = {"command": "c", "weights": "w", "support": 3, "step": 6, **environment()}
    lines = table(records, about).splitlines()
    assert any(line.startswith(f"| {first} |") and "| 0.700 | 2 |" in line for line in lines)
    assert any(line.startswith(f"| {second} |") and line.endswith("| 0.600 | 1 | +0.100 | 1, 0 |") for line in lines)


@pytest.mark.parametrize("way", WAYS)
def test_cleaning_keeps_a_solid_structure(way):
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[2:7, 2:7, 2:7] = 3
    island = mask.copy()
    island[0, 0, 0] = 3
    cleaned = WAYS[way](island, np.array([0, 3]), 2)
    assert (cleaned[3:6, 3:6, 3:6] == 3).all()
    assert (cleaned[0, 0, 0] == 3) == (way in {"as predicted", "smoothed by 1 slice"})


def test_the_synthetic_ct_has_an_organ():
    image, mask = body((16, 16, 8), 2, 6)
    assert image.dtype == np.int16
    assert image[..., 0].max() == -1000
    assert image[mask == 1].min() > 80
