import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import distance

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import METRICS, as_array, dice, iou, score, soft_dice, surface_scores

many = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def blobs(seed, shape):
    """Two smooth masks that are alike."""
    rng = np.random.default_rng(seed)
    common, *own = (ndimage.gaussian_filter(rng.standard_normal(shape), 4) for _ in range(3))
    return [common + 0.4 * one > 0.01 for one in own]


def test_by_hand():
    one, other = np.array([True, True, False, False]), np.array([False, True, True, True])
    assert dice(one, other) == pytest.approx(2 / 5)
    assert iou(one, other) == pytest.approx(1 / 4)
    assert soft_dice(np.array([0.5, 1.0, 0.0]), np.array([1.0, 1.0, 0.0])) == pytest.approx(3 / 3.25)


def test_empty_masks():
    empty, full = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    assert dice(empty, empty) == iou(empty, empty) == 1
    assert dice(empty, full) == dice(full, empty) == iou(empty, full) == iou(full, empty) == 0
    assert soft_dice(np.zeros(5), np.zeros(5)) == 1
    assert soft_dice(np.ones(5), np.zeros(5)) == pytest.approx(0, abs=1e-6)
    assert surface_scores(empty, empty) == (1, 0)
    assert surface_scores(empty, full) == surface_scores(full, empty) == (0, 5)
    assert surface_scores(empty, full, spacing=(2, 1.5)) == (0, pytest.approx(6 * 2**0.5))


@many
@given(seed=st.integers(0, 10**6), height=st.integers(1, 20), width=st.integers(1, 20))
def test_overlaps_are_those_of_scipy(seed, height, width):
    a, b = np.random.default_rng(seed).random((2, height, width)) < 0.3
    a[0, 0] = True
    assert dice(a, b) == dice(b, a) == pytest.approx(1 - distance.dice(a.ravel(), b.ravel()))
    assert iou(a, b) == iou(b, a) == pytest.approx(1 - distance.jaccard(a.ravel(), b.ravel()))
    assert dice(a, a) == iou(a, a) == 1
    assert soft_dice(a, b) == pytest.approx(dice(a, b), abs=1e-6)


@many
@given(seed=st.integers(0, 10**6), shape=st.sampled_from([(9, 12), (5, 6, 7)]), tolerance=st.sampled_from([0, 1, 2.5]))
def test_surface_scores_by_all_pairs_of_pixels(seed, shape, tolerance):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *shape)) < rng.uniform(0.1, 0.9)
    masks[:, *(0,) * len(shape)] = True
    spacing = rng.uniform(0.5, 2, len(shape))
    surfaces = []
    for mask in masks:
        padded = np.pad(mask, 1)
        outside_beside = sum(
            ~np.roll(padded, step, axis)[(slice(1, -1),) * mask.ndim] for axis in range(mask.ndim) for step in (-1, 1)
        )
        surfaces.append(np.argwhere(mask & (outside_beside > 0)) * spacing)
    pairs = distance.cdist(*surfaces)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    overlap, hausdorff = surface_scores(*masks, tolerance=tolerance, spacing=spacing)
    assert overlap == pytest.approx(np.mean(np.r_[there, back] <= tolerance))
    assert hausdorff == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))


@pytest.mark.filterwarnings("ignore:Please import")  # of scipy, to the library
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("shape", "spacing"), [((96, 96), (1, 1)), ((96, 96), (0.7, 1.2)), ((32, 40, 36), (2, 1, 1))])
def test_surface_scores_are_near_those_of_the_library_of_nikolov_et_al(seed, shape, spacing):
    # It runs surfaces between pixels and weights them with their length, so digits differ.
    prediction, truth = blobs(seed, shape)
    found = surface_distance.compute_surface_distances(truth, prediction, spacing)
    tolerance = 2 * max(spacing)
    overlap, hausdorff = surface_scores(prediction, truth, tolerance=tolerance, spacing=spacing)
    expected = surface_distance.compute_surface_dice_at_tolerance(found, tolerance)
    assert overlap == pytest.approx(expected, abs=0.06)
    assert hausdorff == pytest.approx(surface_distance.compute_robust_hausdorff(found, 95), rel=0.15, abs=max(spacing))


def test_all_scores_of_a_soft_prediction():
    label = np.zeros((8, 8), np.float32)
    label[2:6, 2:6] = 1
    probability = np.where(label > 0, 0.7, 0.1)
    perfect = score(probability, label)
    assert (perfect.dice, perfect.iou, perfect.surface_dice, perfect.hausdorff95) == (1, 1, 1, 0)
    assert perfect.soft_dice < 1
    assert score(probability, label, threshold=0.8).dice == 0
    assert as_array([perfect, perfect]).shape == (2, len(METRICS))


def test_refuses_class_values_and_unlike_shapes():
    with pytest.raises(InputError, match="uint8"):
        dice(np.zeros(3, np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(InputError, match=r"\(3,\) and \(4,\)"):
        iou(np.zeros(3, bool), np.zeros(4, bool))
