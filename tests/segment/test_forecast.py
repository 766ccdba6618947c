import numpy as np
import pytest
from scipy import stats

from tests.helpers.stand_in import Weighted
from universeg_jax.segment.forecast import Forecast, certainty
from universeg_jax.segment.segmenter import Segmenter

pytestmark = pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")


def test_the_interval_is_that_of_the_mean():
    dices = np.array([0.7, 0.8, 0.9, np.nan])
    forecast = Forecast.of(dices, np.array([0.6, 0.7, 0.8, 0.1]))
    low, high = stats.t.interval(0.95, 2, 0.8, stats.sem(dices[:3]))
    assert (forecast.dice, forecast.low, forecast.high) == pytest.approx((0.8, low, min(1, high)))
    assert forecast.examples == 3
    assert forecast.certainty == pytest.approx(0.7)
    assert str(forecast) == "expected Dice 0.80 (0.55 to 1.00), from leave-one-out over 3 examples"
    assert Forecast.of(np.array([np.nan]), np.array([0.5])) is None


def test_the_interval_of_few_images_holds_their_mean():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        examples, images = rng.normal(0.5, 0.05, 6), rng.normal(0.5, 0.05, 3)
        forecast = Forecast.of(examples, np.ones(6)).for_images(3)
        inside.append(forecast.low <= images.mean() <= forecast.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    assert str(forecast).startswith("expected Dice of 3 images 0.")


def test_certainty_is_the_dice_that_probabilities_expect():
    probability = np.zeros((4, 4))
    probability[:2] = 0.8
    assert certainty(probability) == pytest.approx(2 * 0.8 * 8 / (0.8 * 8 + 8))
    assert certainty(probability > 0.5) == 1
    assert certainty(np.full((4, 4), 0.3)) == pytest.approx(0.7)
    background = 1 - probability
    classes = np.stack([background, probability, np.zeros((4, 4))], axis=-1)
    assert certainty(classes) == pytest.approx(certainty(probability))


def test_an_unsure_image_is_predicted_to_be_worse():
    forecast = Forecast(0.8, 0.7, 0.9, 8, certainty=0.9)
    assert forecast.of_image(0.9) == pytest.approx(0.8)
    assert forecast.of_image(0.6) < forecast.of_image(0.95) <= 1


def test_a_task_forecasts_its_dice():
    labels = np.zeros((4, 16, 16), bool)
    labels[:3, 2:6], labels[3, 9:12] = True, True
    task = Segmenter(Weighted()).fit(200 * labels.astype(np.uint8), labels)
    assert task.segment(labels)[0].predicted_dice is None
    forecast = task.forecast()
    assert forecast.dice == pytest.approx(0.75)
    assert forecast.examples == 4
    assert 0 <= task.segment(labels)[0].predicted_dice <= 1
    assert Segmenter(Weighted()).fit(labels[:1], labels[:1]).forecast() is None


@pytest.mark.parametrize(("dices", "expected"), [([1.1, 1.02], 1.0), ([-0.2, 0.1], 0.0)])
def test_parts_of_volumes_outside_of_the_range_give_a_dice(dices, expected):
    found = Forecast.of(np.array(dices), np.array([0.5, 0.5]), "volumes")
    assert found.dice == expected
    assert 0 <= found.low <= found.dice <= found.high <= 1
