import numpy as np
import pytest

from experiments.choice.image_forecast import summary
from experiments.choice.prototypes import dices as mask_dices
from experiments.choice.report import METHODS, Found, evaluated_dices, interval, page
from experiments.choice.trials import make_trials, subjects
from tests.helpers.array_corpus import ArrayCorpus, examples
from universeg_jax.data.corpus.read import CorpusTask, Example
from universeg_jax.segment.forecast import Forecast

SKIN = CorpusTask("skin", "image", "2d", "1")
SHAPE = dict(targets=6, draws=2, most=8, fewest=4)


def trials(own, **shape):
    corpus = ArrayCorpus({SKIN: own})
    corpus.datasets = ("skin",)
    return list(make_trials(corpus, **(SHAPE | shape)))


def test_targets_and_examples_share_no_subject():
    own = [Example(i, f"{i // 3}_{i}", "train", 0.1) for i in range(60)]
    (trial,) = trials(own)
    assert [trial] == trials(own)
    seen = {image // 3 for image in trial.targets}
    assert len(seen) == len(trial.targets) == 6
    for draw in trial.draws:
        assert len(set(draw)) == len(draw) == 8
        assert not seen & {image // 3 for image in draw}
    assert not set(trial.draws[0]) & set(trial.draws[1])
    assert set(trial.images) == {*trial.targets, *trial.draws[0], *trial.draws[1]}


def test_small_sets_have_fewer_targets_or_none():
    (trial,) = trials(examples(9))
    assert len(trial.targets) == 3
    assert [len(draw) for draw in trial.draws] == [6, 6]
    assert trials(examples(5)) == []


def test_a_prefix_of_the_name_is_a_subject_if_there_are_several():
    assert subjects([Example(i, f"p{i % 7}_{i}", "", 0.1) for i in range(20)])[:2] == ["p0", "p1"]
    assert subjects([Example(i, f"scan_{i}", "", 0.1) for i in range(20)])[:2] == ["scan_0", "scan_1"]


@pytest.fixture
def known():
    """Maps of 16 examples and 2 targets on which UniverSeg is right and ProtoSAM inverts everything."""
    truth = np.zeros((16, 4, 4), bool)
    truth[:, :2] = True
    right, wrong = np.where(truth, 0.9, 0.1), np.where(truth, 0.2, 0.8)
    maps = {}
    for kind, number in (("targets", 2), ("left out", 16)):
        maps[f"universeg {kind} 16"], maps[f"protosam {kind} 16"] = right[:number], wrong[:number]
    return maps, list(truth)


def test_the_report_follows_the_choice_of_the_library(known):
    maps, truth = known
    found = evaluated_dices("pool", "disc", 16, maps, truth[:2], truth)
    assert found.dice["UniverSeg"].mean() == 1
    assert found.dice["ProtoSAM"].mean() == 0
    assert found.forecast.dice == pytest.approx(found.dice["auto"].mean())
    assert found.forecast.examples == 16


def test_a_threshold_that_leave_one_out_finds_is_used(known):
    maps, truth = known
    for key in maps:
        if key.startswith("universeg"):
            maps[key] = maps[key] / 2.2  # right, with probabilities of at most 0.41
    found = evaluated_dices("pool", "disc", 16, maps, truth[:2], truth)
    assert found.dice["UniverSeg"].mean() == 0
    assert found.dice["auto"].mean() == found.forecast.dice == 1


def test_predictions_of_single_images_are_ranked():
    rng = np.random.default_rng(0)
    images = {}
    for task in "abcd":
        dice = rng.uniform(0, 1, 12)
        noisy, inverse = dice + rng.normal(0, 0.5, 12), 1 - dice
        images[f"{task}, 4 examples"] = {
            "dice": dice.tolist(),
            "certainty": noisy.tolist(),
            "agreement": inverse.tolist(),
            "reverse classification": dice.tolist(),
        }
    found = summary(images)
    assert found["agreement"]["rank correlation within tasks"] == -1
    assert found["certainty and agreement"]["rank correlation within tasks"] == 1
    assert found["reverse classification"]["mean absolute error"] == 0
    assert 0 < found["certainty"]["correlation"] < 1


def test_a_mask_of_the_mean_is_scored_with_each_share():
    truth = np.zeros((8, 8), bool)
    truth[:4] = True
    logits = np.where(truth, -1.0, 1.0).astype(np.float32)
    found = mask_dices(logits, truth, 5, np.where(truth, 1.0, 0.0))
    assert found == {"": 0.0, " | 50%": 1.0, " | 75%": 0.0}


def test_the_page_has_a_row_for_every_support_set():
    dices = {name: np.array([0.5, 0.7]) for name in METHODS}
    forecast = Forecast(0.6, 0.5, 0.7, 16, 0.8)
    found = [Found("pool", f"task {i}", 16, dices, "UniverSeg", forecast, np.array([0.7, 0.9])) for i in range(3)]
    text = page(found)
    assert "| 16 | 3 | 0.600 | 0.600 | 0.600 | 0.600 | 0.600 |" in text
    assert "| task 2 | 16 | 0.600 | 0.600 | 0.600 | 0.600 | UniverSeg | 0.600 |" in text
    assert interval(np.array([0.1, 0.1])) == "+0.100 [+0.100, +0.100]"
