from pathlib import Path

import numpy as np
import pytest

from universeg_jax.evaluate.summary import summarise
from universeg_jax.train.finetune.before_after import Comparison, markdown


def comparison(scores, *, held_out: bool = True) -> Comparison:
    """Make a comparison from the Dice before and after of the images of each class, one image for each subject."""
    named = {name: {f"i{k}": pair for k, pair in enumerate(pairs)} for name, pairs in scores.items()}
    cells = {
        f"examples/{name}": {(image, image): np.array([a, b, b - a]) for image, (a, b) in of_class.items()}
        for name, of_class in named.items()
    }
    return Comparison("open-v0", held_out, named, ({}, {}), summarise(cells))


@pytest.mark.parametrize(
    ("pairs", "helped", "verdict"),
    [
        ([(0.5, 0.7), (0.4, 0.7), (0.5, 0.6)], True, "Fine-tuning helped: use run/best."),
        ([(0.5, 0.9), (0.6, 0.5), (0.6, 0.5)], True, "no larger than chance may give"),
        ([(0.5, 0.5), (0.6, 0.6)], False, "did not help here: stay with open-v0"),
        ([(0.8, 0.7), (0.6, 0.5)], False, "did not help here: stay with open-v0"),
        ([(0.1, 0.9)], True, "no larger than chance may give"),  # one subject says nothing of others
    ],
)
def test_the_verdict_follows_the_figures(pairs, helped, verdict):
    found = comparison({"cell": pairs})
    assert found.helped is helped
    assert found.report()["recommended"] == ("fine-tuned" if helped else "open-v0")
    text = markdown(found, Path("run"))
    assert verdict in text
    assert "had no part in the training" in text


def test_images_that_decided_when_to_stop_are_reported():
    found = comparison({"cell": [(0.5, 0.7), (0.4, 0.7)]}, held_out=False)
    assert found.report()["measured_on"] == "validation"
    text = markdown(found, Path("run"))
    assert "images that decided when to stop the training" in text
    assert "expect less on new ones" in text


def test_classes_have_their_rows_and_a_mean_over_them():
    found = comparison({"a": [(0.2, 0.4), (0.2, 0.4), (0.2, 0.4)], "b": [(0.6, 0.5)]})
    rows = [line for line in markdown(found, Path("run")).splitlines() if line.startswith("|")][2:]
    assert rows[0].startswith("| a | 3 | 0.200 | 0.400 | +0.200 [")
    assert rows[1] == "| b | 1 | 0.600 | 0.500 | -0.100 |"
    assert rows[2] == "| mean of classes | 3 | 0.400 | 0.450 | +0.050 |"
    report = found.report()
    assert report["mean_dice_of_class"]["b"] == {"before": 0.6, "after": 0.5, "gain": -0.1}
    assert report["images"]["a"]["i1"] == {"before": 0.2, "after": 0.4}
