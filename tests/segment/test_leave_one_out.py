import numpy as np
import pytest

from tests.helpers.stand_in import Weighted
from universeg_jax.segment.leave_one_out import LeaveOneOut
from universeg_jax.segment.segmenter import Segmenter

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
