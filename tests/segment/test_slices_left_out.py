"""Labelled slices that are segmented from the slices of other volumes."""

import numpy as np
import pytest

from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import affine, scene
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.leave_one_out import SlicesLeftOut, pseudo_values
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import shares
from universeg_jax.segment.volume import LabelledVolume, fit_pictures, fit_volumes


def labelled(*numbers):
    return [LabelledVolume(Volume(f"scan {i}", scene(i)[0], affine()), scene(i)[1]) for i in numbers]


def left_out(*models, numbers=(0, 1)):
    return SlicesLeftOut(fit_volumes(Segmenter(list(models)), labelled(*numbers)).pools[0])


def test_slices_are_segmented_from_other_volumes():
    model = Intensities()
    found = left_out(model)
    found.probabilities(0)
    assert len(model.sets) == len(found.entries)
    images = found._pool.models[0].support.images
    for (shown, _, _), entry in zip(model.sets, found.entries, strict=True):
        of_volume = images[found._pool.candidates.subjects == found._pool.candidates.subjects[entry]]
        assert not any((one == other).all() for one in shown if one.any() for other in of_volume)


def test_as_many_slices_of_each_volume_are_left_out():
    found = left_out(Intensities(), numbers=range(3))
    assert len(found.entries) <= 16
    assert np.bincount(found.volumes).min() >= 4
    shown = found._pool.candidates.shown[:, found.entries].any(axis=0)
    assert 0.6 < shown.mean() < 1


def test_dice_is_taken_over_the_slices_of_a_volume():
    found = left_out(Intensities())
    labels = found._pool.models[0].support.labels[..., 0][:, found.entries]
    truth = (np.moveaxis(labels, 0, -1) > 0.5).astype(np.float32)
    np.testing.assert_allclose(found.dice(truth), 1)
    assert found.dice(found.probabilities(0)).min() > 0.7
    half = truth.copy()
    half[..., 1] = 0
    np.testing.assert_allclose(found.dice(half), 0.5)  # one of two structures is missed
    np.testing.assert_allclose(found.dice(0.4 * truth), 0)
    np.testing.assert_allclose(found.dice(0.4 * truth, 0.3), 1)
    assert found.certainty(truth).min() > 0.8


def test_a_structure_that_no_other_volume_shows_is_not_scored():
    volumes = labelled(0, 1)
    volumes[0].labels[volumes[0].labels == 2] = 0
    found = SlicesLeftOut(fit_volumes(Segmenter(Intensities()), volumes).pools[0])
    assert found._scored.tolist() == [[True, True], [True, False]]


def test_pseudo_values_have_the_ratio_as_their_mean():
    np.testing.assert_allclose(pseudo_values(np.array([3.0]), np.array([4.0])), 0.75)
    np.testing.assert_allclose(pseudo_values(np.array([3.0, 6.0, 1.5]), np.array([4.0, 8.0, 2.0])), 0.75)
    random = np.random.default_rng(0)
    wholes = random.uniform(1, 100, 300)  # small wholes have small ratios, as ends of organs have small Dice
    parts = wholes * np.minimum(0.8, wholes / 20)
    values = pseudo_values(parts, wholes)
    assert abs(values.mean() - parts.sum() / wholes.sum()) < 0.005
    assert (parts / wholes).mean() < values.mean() - 0.02


def test_pictures_are_left_out_one_at_a_time():
    images = [scene(i)[0][:, :, 5] for i in range(3)]
    labels = [scene(i)[1][:, :, 5] for i in range(3)]
    task = fit_pictures(Segmenter(Intensities()), images, labels, ["a", "b", "c"])
    found = SlicesLeftOut(task.pools[0])
    assert found.volumes.tolist() == [0, 1, 2]
    assert found.dice(found.probabilities(0)).min() > 0.7


@pytest.mark.parametrize(("volumes", "expected"), [(3, [16, 16, 16]), (5, [10, 10, 9, 10, 9]), (50, None)])
def test_slices_are_shared_among_volumes(volumes, expected):
    found = shares(volumes, 48)
    assert found.sum() == 48
    assert len(found) == volumes
    assert found.max() - found.min() <= 1
    assert expected is None or sorted(found) == sorted(expected)
