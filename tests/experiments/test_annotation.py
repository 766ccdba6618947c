import numpy as np

from experiments.annotation import annotate, table
from tests.helpers.stand_in import Brightness, bright_disc
from universeg_jax.segment.segmenter import Segmenter


def test_good_proposals_cost_nothing_and_the_first_image_is_drawn():
    images, masks = map(np.stack, zip(*(bright_disc(i, 32, 32) for i in range(5)), strict=True))
    segmenter = Segmenter(Brightness())
    works = [annotate(lambda: segmenter, images, masks > 0, order) for order in ("forecast", "random")]
    for work in works:
        assert work.images == 5
        assert work.by_hand == (masks > 0).sum()
        assert work.drawn == 1
        assert 0 < work.corrected < 0.5 * work.by_hand
        assert work.confirmed >= 3
    rows = [{"set": "discs", "draw": 0, "order": "random", **vars(works[1])}]
    assert "| discs | random | 5 | 1.0 |" in table(rows)
