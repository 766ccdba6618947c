"""Labelled slices that are segmented from the slices of other volumes."""

import numpy as np
import pytest

from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import affine, scene
from tests.helpers.stand_in import Weighted
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.leave_one_out import LeaveOneOut, SlicesLeftOut
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import shares
from universeg_jax.segment.volume import LabelledVolume, fit_pictures, fit_volumes

pytestmark = pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")


def task(labels, model=None):
    """A task whose images are like their labels."""
    labels = np.asarray(labels)
    images = np.where(labels > 0, 200 - 10 * labels, 20).astype(np.uint8)
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    return Segmenter(model or Weighted()).fit(images, labels)


def rows(*places):
    labels = np.zeros((len(places), 16, 16), int)
    labels[np.arange(len(places)), list(places)] = 1
    return labels


def test_each_example_is_predicted_from_the_others():
    labels = rows(2, 2, 2, 9)
    left_out = LeaveOneOut(task(labels))
    found = left_out.probabilities(0, None)[..., 0]
    for i in range(4):
        np.testing.assert_allclose(found[i], np.delete(labels, i, axis=0).mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(left_out.dice(found[..., None]), [1, 1, 1, 0])


def test_similar_examples_leave_the_example_out():
    labels = rows(2, 9, 2, 9)
    found = LeaveOneOut(task(labels)).probabilities(0, 1)[..., 0]
    np.testing.assert_allclose(found, labels, atol=1e-4)


def test_at_most_sixteen_examples_are_left_out():
    left_out = LeaveOneOut(task(rows(*[i % 16 for i in range(40)])))
    assert len(left_out.entries) == 16
    assert left_out.entries[[0, -1]].tolist() == [0, 39]
    assert left_out.probabilities(0, None).shape == (16, 16, 16, 1)


def test_a_class_that_no_other_example_shows_is_not_scored():
    labels = rows(2, 2, 2)
    labels[0, 9] = 2
    left_out = LeaveOneOut(task(labels))
    dices = left_out.dice(left_out.probabilities(0, None))
    assert dices[0] == 1  # without its class 2, which it alone shows
    np.testing.assert_allclose(dices[1:], 0.5)  # class 2 is found in the other images, but is not there


def test_a_threshold_separates_foreground_and_background():
    left_out = LeaveOneOut(task(rows(2, 2, 2)))
    found = np.where(left_out.probabilities(0, None) > 0.5, 0.4, 0.1)
    np.testing.assert_allclose(left_out.dice(found), 0)
    np.testing.assert_allclose(left_out.dice(found, 0.3), 1)
    labels = rows(2, 2, 2)
    labels[:, 9] = 2
    left_out = LeaveOneOut(task(labels))
    background = np.float32([5, 1, 1])
    found = left_out.probabilities(0, None) * background
    np.testing.assert_allclose(left_out.dice(found / found.sum(axis=-1, keepdims=True), 0.2), 1)


def test_padding_is_not_scored():
    labels = np.zeros((3, 4, 16), int)
    labels[:, 1] = 1
    left_out = LeaveOneOut(task(labels))
    everywhere = np.ones((3, 16, 16, 1))
    np.testing.assert_allclose(left_out.dice(everywhere), 2 * 16 / (16 + 64))


def test_models_of_several_sizes_are_compared_in_the_largest_square():
    class Larger(Weighted):
        input_size = 32

    labels = np.repeat(rows(2, 2, 2, 9), 2, axis=1).repeat(2, axis=2)
    made = Segmenter([Weighted(), Larger()]).fit(200 * labels, labels)
    left_out = LeaveOneOut(made)
    blended = left_out.blended((0.5, 0.5), None)
    assert blended.shape == (4, 32, 32, 1)
    assert left_out.dice(blended)[0] > 0.6
    assert left_out.dice(blended)[3] == 0


def test_with_pauses_one_image_at_a_time_gives_the_same():
    labels, pauses = rows(2, 9, 2, 9), []
    made = task(labels)
    found = LeaveOneOut(made, pause=lambda: pauses.append(1)).probabilities(0, 2)
    np.testing.assert_array_equal(found, LeaveOneOut(made).probabilities(0, 2))
    assert len(pauses) == 4


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
