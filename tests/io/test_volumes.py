"""Volumes in memory: classes, and masks laid on their images."""

import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.io.volumes import Volume, class_labels, place_on


def mask_of(values, name="m.nii"):
    return Volume(name, np.asarray(values).reshape(1, 1, -1), np.eye(4))


def test_labels_that_a_slope_has_rounded_are_classes():
    labels = class_labels(mask_of([0, 1.00000002, 3.00000006, 0.99999994, 2.0009])).voxels
    assert labels.ravel().tolist() == [0, 1, 3, 1, 2]
    assert labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 0.988], "must be whole numbers; it holds 0.988"),
        ([0, -1], "run from -1 to 0"),
        ([0, 70000], "run from 0 to 70000"),
        ([0, np.nan], "1 of 2 voxels are NaN"),
    ],
)
def test_values_that_are_no_classes_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        class_labels(mask_of(values))


def oblique(angle, rng=None, off=0.0):
    """An affine turned about two axes by an angle near 45 degrees, its entries off by rounding."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * (1.0, 1.2, 3.0)
    affine[:3, 3] = (4, -3, 9)
    return affine if rng is None else affine + off * rng.standard_normal((4, 4)) * [[1], [1], [1], [0]]


@pytest.mark.parametrize("seed", range(8))
def test_masks_of_oblique_volumes_are_turned_as_their_image(seed):
    rng = np.random.default_rng(seed)
    affine = oblique(np.radians(45))
    labels = rng.integers(0, 3, (4, 5, 6)).astype(np.uint8)
    image = Volume("image", labels.astype(np.int16), affine)
    mask = Volume("mask", labels, oblique(np.radians(45), rng, 1e-6))
    np.testing.assert_array_equal(place_on(mask, image).voxels, labels)
    order, flips = (2, 0, 1), np.array([-1, 1, -1])
    moved = Volume("moved", labels, mask.affine).turned(np.stack([np.argsort(order), flips], axis=1))
    placed = place_on(moved, image)
    np.testing.assert_array_equal(placed.voxels, labels)
    np.testing.assert_array_equal(placed.affine, affine)


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (
            np.diag([1, 1, 2.2, 1]),
            r"lies 0\.8 mm .* most along axis 2 \(0\.4 voxels; it has 2\.2 mm there, the image 2 mm",
        ),
        (np.diag([1, 1, 2, 1]) + 5 * np.eye(4, k=3), r"lies 5 mm .* most along axis 0 \(5 voxels\)"),
        (oblique(0.5), "(lies|its axes run otherwise)"),
    ],
)
def test_the_misfit_of_a_mask_is_named(affine, message):
    image = Volume("image", np.zeros((4, 4, 5)), np.diag([1, 1, 2.0, 1]))
    with pytest.raises(InputError, match=message):
        place_on(Volume("mask", np.zeros((4, 4, 5), np.uint8), affine), image)


@pytest.mark.parametrize("last", [0.0, np.nan, np.inf])
def test_voxels_without_size_are_refused(last):
    with pytest.raises(InputError, match=r"x: its header gives voxels the sizes \[1\.0, 1\.0, "):
        Volume("x", np.ones((4, 4, 4)), np.diag([1, 1, last, 1])).upright()
