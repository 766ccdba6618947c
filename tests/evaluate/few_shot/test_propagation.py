import dataclasses

import numpy as np

from tests.helpers.stacks import Intensity, stack
from tests.helpers.stand_in import Brightness
from universeg_jax.evaluate.few_shot.methods import InContextSlices
from universeg_jax.evaluate.few_shot.propagation import Propagation
from universeg_jax.evaluate.few_shot.support_choice import PartOfOrgan
from universeg_jax.evaluate.metrics import dice

SUPPORT, QUERY = (stack(name, seed=seed).organ("ball") for name, seed in (("a", 1), ("b", 2)))


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
    found = Propagation(Middle(), second).segment(SUPPORT, QUERY) > 0.5
    first, last = QUERY.slices[0], QUERY.slices[-1]
    assert sorted(second.pairs) == [(first + 1, first), (first + 2, first + 1), (last - 1, last)]
    assert found.any(axis=(1, 2)).all()
    assert dice(found, QUERY.masks) > 0.9 > dice(Middle().segment(SUPPORT, QUERY) > 0.5, QUERY.masks)


def test_other_slices_keep_their_largest_body():
    found = Propagation(Middle(), Neighbour()).segment(SUPPORT, QUERY)
    np.testing.assert_array_equal(found[2:-1] > 0.5, Middle().segment(SUPPORT, QUERY)[2:-1] > 0.5)


def test_what_does_not_touch_the_neighbour_is_dropped():
    spotted = QUERY.images.copy()
    spotted[0, -2:, :2] = 0.9  # as bright as the ball
    query = dataclasses.replace(QUERY, images=spotted)
    found = Propagation(Middle(), Neighbour()).segment(SUPPORT, query) > 0.5
    assert not found[0, -2:, :2].any()
    assert found[0].any()


def test_a_slice_that_stays_empty_is_no_source():
    dark = QUERY.images.copy()
    dark[1] = 0
    second = Neighbour()
    found = Propagation(Middle(), second).segment(SUPPORT, dataclasses.replace(QUERY, images=dark)) > 0.5
    first = QUERY.slices[0]
    assert (first + 2, first) in second.pairs
    assert not found[1].any()


def test_without_any_mask_nothing_is_found():
    second = Neighbour()
    dark = dataclasses.replace(QUERY, images=np.zeros_like(QUERY.images))
    assert not (Propagation(Middle(), second).segment(SUPPORT, dark) > 0.5).any()
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
    found = Propagation(WithoutEnds(method), method).segment(SUPPORT, QUERY) > 0.5
    assert method.model.prepared == 3 + 2  # a slice of each third, and two neighbours
    assert dice(found, QUERY.masks) > 0.9
    method.segment(SUPPORT, QUERY)
    assert method.model.prepared == 5
