"""The structure at a click: boxes of several sizes are tried around it."""

import numpy as np
import pytest

from tests.helpers.stand_in import save
from universeg_jax.app.clicks import Prompter
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.models.sam.model import SAMConfig

SIZE = (60, 80)
NEAR, LARGE, FAR = (slice(20, 30), slice(30, 40)), (slice(15, 40), slice(20, 60)), (slice(50, 55), slice(70, 75))


class Boxes(Prompter):
    """Prompter with a network that finds the structure near the click in small boxes, a large one in larger boxes."""

    scores = (0.9, 0.6)

    def _in_box(self, low, high, size):
        logits = np.full(SIZE, -5.0, np.float32)
        small = float(high[0] - low[0]) < 20
        logits[NEAR if small else LARGE] = 5
        logits[FAR] = 5
        return logits, self.scores[0 if small else 1]


@pytest.fixture
def workspace(tmp_path):
    save(tmp_path / "images" / "a.png", np.arange(np.prod(SIZE)).reshape(SIZE).astype(np.uint8))
    return Workspace(tmp_path)


def prompter(workspace, kind=Boxes):
    made = kind(workspace, type("Network", (), {"config": SAMConfig.lite_medsam()})())
    made._encoded = "a", None
    return made


def test_the_mask_with_the_highest_score_is_kept_without_other_structures(workspace):
    expected = np.zeros(SIZE, bool)
    expected[NEAR] = True
    np.testing.assert_array_equal(prompter(workspace).segment("a", [(35, 25)], box=False), expected)


def test_a_mask_that_holds_more_clicks_is_preferred(workspace):
    expected = np.zeros(SIZE, bool)
    expected[LARGE] = True
    np.testing.assert_array_equal(prompter(workspace).segment("a", [(35, 25), (25, 35)], box=False), expected)


def test_unsure_borders_count_against_a_mask(workspace):
    class Unsure(Boxes):
        def _in_box(self, low, high, size):
            logits, score = super()._in_box(low, high, size)
            return (np.clip(logits, -0.5, 0.5) if score == 0.9 else logits), score

    assert prompter(workspace, Unsure).segment("a", [(35, 25)], box=False)[LARGE].all()


@pytest.mark.parametrize(
    ("points", "box", "message"),
    [
        ([], False, "click into the structure first"),
        ([(3, 3)], True, "two opposite corners"),
        ([(3, 3), (3, 9)], True, "two opposite corners"),
        ([(5, 50)], False, "nothing was found at this click: choose Box"),
    ],
)
def test_clicks_without_a_structure_are_refused(points, box, message, workspace):
    with pytest.raises(InputError, match=message):
        prompter(workspace).segment("a", points, box=box)
