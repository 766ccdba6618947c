import dataclasses

import numpy as np
import pytest

from tests.helpers.stacks import Intensity, stack
from tests.helpers.stand_in import Brightness
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import (
    InContextSlices,
    MeanOfMethods,
    Propagation,
    WholeVolume,
    main_body,
    smooth_across,
)
from universeg_jax.evaluate.few_shot.support import AllSlices, NearestInHeight, PartOfOrgan
from universeg_jax.evaluate.metrics import dice

SUPPORT, QUERY = stack("a", seed=1).organ("rod"), stack("b", seed=2).organ("ball")


class Recorder(Brightness):
    """Keeps the support images that it was shown."""

    def __init__(self):
        self.shown = []

    def prepare(self, images, labels, mask):
        self.shown.append([image for image, counts in zip(np.asarray(images), mask[0], strict=True) if counts])
        return super().prepare(images, labels, mask)


def test_each_third_is_segmented_from_its_own_slice():
    model = Recorder()
    InContextSlices(model, "one", PartOfOrgan()).segment(SUPPORT, QUERY)
    assert [len(shown) for shown in model.shown] == [1, 1, 1]
    for shown, index in zip(model.shown, (1, 3, 5), strict=True):  # of 7 slices: 7/6, 7/2, 35/6
        np.testing.assert_allclose(shown[0][..., 0], SUPPORT.images[index], atol=1e-6)


def test_the_nearest_slices_are_shown_in_their_order():
    model = Recorder()
    InContextSlices(model, "one", NearestInHeight(3)).segment(SUPPORT, QUERY)
    assert {len(shown) for shown in model.shown} == {3}
    first = np.stack(model.shown[0])[..., 0]
    np.testing.assert_allclose(first, SUPPORT.images[:3], atol=1e-6)


def test_all_slices_are_one_task_and_nearer_ones_weigh_more():
    model = Recorder()
    InContextSlices(model, "one", AllSlices()).segment(SUPPORT, QUERY)
    assert [len(shown) for shown in model.shown] == [len(SUPPORT)]
    weights = AllSlices().weights(SUPPORT, QUERY)
    assert weights.shape == (len(QUERY), len(SUPPORT))
    np.testing.assert_allclose(weights[0], np.linspace(2, 1, len(SUPPORT)))
    assert weights[-1].argmax() == len(SUPPORT) - 1


def test_each_slice_has_the_result_of_its_own_support():
    found = InContextSlices(Brightness(), "one", PartOfOrgan()).segment(SUPPORT, QUERY)
    expected = 1 / (1 + np.exp(-(4 - 10 * np.abs(1 - QUERY.images))))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_blend_asks_each_model_once():
    model = Recorder()
    one = InContextSlices(model, "one", PartOfOrgan())
    blend = MeanOfMethods((one, Intensity()), (1.0, 3.0))
    found = blend.segment(SUPPORT, QUERY)
    np.testing.assert_allclose(found, (one.segment(SUPPORT, QUERY) + 3 * Intensity().segment(SUPPORT, QUERY)) / 4)
    assert len(model.shown) == 3
    assert blend.name == "blend of one, slice of its 3 parts and intensity"
    assert "3 x intensity 1" in blend.identity


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
def test_a_blend_needs_a_positive_weight_for_each(weights):
    with pytest.raises(InputError, match="pass a positive weight for each"):
        MeanOfMethods((Intensity(), Intensity()), weights)


def test_identities_tell_models_and_options_apart():
    method = InContextSlices(Brightness(), "one", NearestInHeight(3))
    others = [
        InContextSlices(Brightness(), "one", NearestInHeight(5)),
        WholeVolume(method),
        WholeVolume(method, sigma=1),
    ]
    assert len({method.identity, *(other.identity for other in others)}) == 4


def test_smoothing_counts_gaps_and_keeps_constants():
    slices = np.array([0, 1, 5])
    np.testing.assert_allclose(smooth_across(np.ones((3, 2, 2)), slices, sigma=0.7), 1, atol=1e-6)
    impulse = np.zeros((3, 1, 1))
    impulse[0] = 1
    smooth = smooth_across(impulse, slices, sigma=0.7)[:, 0, 0]
    assert smooth[0] > smooth[1] > 0.1
    assert smooth[2] < 1e-6
    assert smooth_across(impulse, slices, sigma=0) is impulse


def test_one_body_is_kept_over_slices():
    masks = np.zeros((3, 6, 6), bool)
    masks[:, :2, :2] = True
    masks[1, 4:, 4:] = True
    kept = main_body(masks, [3, 4, 5])
    assert kept[:, :2, :2].all()
    assert not kept[:, 4:, 4:].any()
    apart = main_body(masks, [0, 1, 9])  # a gap separates
    assert not apart[2].any()
    assert not main_body(np.zeros_like(masks), [0, 1, 2]).any()


def test_a_body_through_many_slices_is_kept_not_a_wider_one():
    masks = np.zeros((6, 8, 8), bool)
    masks[:, 0, :2] = True
    masks[0, 3:, 3:] = True  # 25 pixels in one slice, the other has 12 in six
    kept = main_body(masks, range(6))
    np.testing.assert_array_equal(kept.sum(axis=(1, 2)), 2)


def test_whole_volumes_lose_what_lies_apart():
    noisy = QUERY.images.copy()
    noisy[3, :1, :1] = 1.0
    query = type(QUERY)(noisy, QUERY.masks, QUERY.slices)
    support = stack("a", seed=1).organ("ball")
    plain = Intensity().segment(support, query) > 0.5
    kept = WholeVolume(Intensity(), sigma=0).segment(support, query) > 0.5
    assert plain[3, 0, 0]
    assert not kept[3, 0, 0]
    np.testing.assert_array_equal(kept[:, 4:-4, 4:-4], plain[:, 4:-4, 4:-4])


FIRST_BALL, SECOND_BALL = (stack(name, seed=seed).organ("ball") for name, seed in (("a", 1), ("b", 2)))


class Middle(Intensity):
    """Finds the organ in the middle slices only."""

    def segment(self, support, query):
        found = super().segment(support, query)
        found[:2] = found[-1:] = 0
        return found


class Neighbour(Intensity):
    """Keeps the pairs of slices that it sees."""

    def __init__(self):
        super().__init__()
        self.pairs = []

    def segment(self, support, query):
        self.pairs.append((*support.slices.tolist(), *query.slices.tolist()))
        return super().segment(support, query)


def test_empty_slices_are_segmented_from_their_neighbours():
    second = Neighbour()
    found = Propagation(Middle(), second).segment(FIRST_BALL, SECOND_BALL) > 0.5
    first, last = SECOND_BALL.slices[0], SECOND_BALL.slices[-1]
    assert sorted(second.pairs) == [(first + 1, first), (first + 2, first + 1), (last - 1, last)]
    assert found.any(axis=(1, 2)).all()
    assert (
        dice(found, SECOND_BALL.masks) > 0.9 > dice(Middle().segment(FIRST_BALL, SECOND_BALL) > 0.5, SECOND_BALL.masks)
    )


def test_other_slices_keep_their_largest_body():
    found = Propagation(Middle(), Neighbour()).segment(FIRST_BALL, SECOND_BALL)
    np.testing.assert_array_equal(found[2:-1] > 0.5, Middle().segment(FIRST_BALL, SECOND_BALL)[2:-1] > 0.5)


def test_what_does_not_touch_the_neighbour_is_dropped():
    spotted = SECOND_BALL.images.copy()
    spotted[0, -2:, :2] = 0.9  # as bright as the ball
    query = dataclasses.replace(SECOND_BALL, images=spotted)
    found = Propagation(Middle(), Neighbour()).segment(FIRST_BALL, query) > 0.5
    assert not found[0, -2:, :2].any()
    assert found[0].any()


def test_a_slice_that_stays_empty_is_no_source():
    dark = SECOND_BALL.images.copy()
    dark[1] = 0
    second = Neighbour()
    found = Propagation(Middle(), second).segment(FIRST_BALL, dataclasses.replace(SECOND_BALL, images=dark)) > 0.5
    first = SECOND_BALL.slices[0]
    assert (first + 2, first) in second.pairs
    assert not found[1].any()


def test_without_any_mask_nothing_is_found():
    second = Neighbour()
    dark = dataclasses.replace(SECOND_BALL, images=np.zeros_like(SECOND_BALL.images))
    assert not (Propagation(Middle(), second).segment(FIRST_BALL, dark) > 0.5).any()
    assert second.pairs == []


class Counting(Brightness):
    """Counts the support sets that it is shown."""

    prepared = 0

    def prepare(self, images, labels, mask):
        self.prepared += 1
        return super().prepare(images, labels, mask)


class WithoutEnds(Intensity):
    """Another method without the first slices."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def segment(self, support, query):
        found = self.method.segment(support, query).copy()
        found[:2] = 0
        return found


def test_one_method_does_both_and_keeps_its_result_of_the_scan():
    method = InContextSlices(Counting(), "one", PartOfOrgan())
    found = Propagation(WithoutEnds(method), method).segment(FIRST_BALL, SECOND_BALL) > 0.5
    assert method.model.prepared == 3 + 2  # a slice of each third, and two neighbours
    assert dice(found, SECOND_BALL.masks) > 0.9
    method.segment(FIRST_BALL, SECOND_BALL)
    assert method.model.prepared == 5
