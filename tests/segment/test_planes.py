"""The window of a volume: z-scored MR keeps its tissue, and a CT without negative values is noticed."""

import numpy as np
import pytest

from universeg_jax.errors import SegmentationWarning
from universeg_jax.segment.planes import CT_WINDOW, is_ct, volume_window


def tissue(background):
    """A body of normal values in a constant background."""
    values = np.full((20, 20, 10), background, np.float32)
    values[5:15, 5:15] = np.random.default_rng(0).normal(100, 20, (10, 10, 10))
    return values


def test_a_z_scored_scan_has_the_window_of_its_original():
    voxels = tissue(0)
    low, high = volume_window(voxels, "MR", "a")
    mean, deviation = voxels.mean(), voxels.std()
    np.testing.assert_allclose(
        volume_window((voxels - mean) / deviation, "MR", "a"),
        [(low - mean) / deviation, (high - mean) / deviation],
        rtol=1e-4,
    )
    assert 40 < low < 70
    assert 130 < high < 170


def test_z_scored_values_without_background_count_all():
    voxels = np.random.default_rng(0).normal(0, 1, (20, 20, 20)).astype(np.float32)
    np.testing.assert_allclose(volume_window(voxels, "", "a"), np.percentile(voxels, (0.5, 99.5)), rtol=1e-5)


def test_a_ct_has_a_fixed_window():
    assert volume_window(np.array([-1000.0, 3000.0]), "CT", "a") == CT_WINDOW
    assert volume_window(np.array([-200.0, 300.0]), "CT", "a") == (-200, 300)


def test_a_ct_stored_with_1024_added_is_noticed():
    with pytest.warns(SegmentationWarning, match="a: is a CT whose lowest value is 24"):
        volume_window(np.array([24.0, 3000.0]), "CT", "a")


@pytest.mark.parametrize(
    ("modality", "expected"), [("CT", True), ("PVP-CT", True), ("ct_contrast", True), ("octa", False)]
)
def test_modalities_with_hounsfield_units(modality, expected):
    assert is_ct(modality) == expected


def test_a_constant_volume_has_an_empty_window():
    low, high = volume_window(np.zeros((3, 3, 3)), "MR", "a")
    assert low == high
