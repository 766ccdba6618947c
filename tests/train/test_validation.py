import jax
import numpy as np
import pytest
from PIL import Image

from tests.helpers.array_data import STAGE, TASKS, ArrayData, config
from universeg_jax.train.learner import UniverSegLearner
from universeg_jax.train.state import initial_model
from universeg_jax.train.validation import Validation
from universeg_jax.weights.mapping import get_parameters


@pytest.fixture(scope="module")
def episodes():
    return ArrayData().validation_episodes(STAGE)


def test_masks_are_those_of_the_network_and_scored(episodes):
    model = initial_model(config())
    scores, masks = Validation(UniverSegLearner(config()).predict, episodes).run(get_parameters(model))
    assert scores.keys() == masks.keys() == set(TASKS)
    for task, of_task in episodes.items():
        dice = []
        for mask, episode in zip(masks[task], of_task, strict=True):
            logits = model(episode.target[None], episode.support_images[None], episode.support_labels[None])
            expected, truth = np.asarray(logits)[0, ..., 0] >= 0, episode.target_label[..., 0] >= 0.5
            assert (mask == expected).mean() > 0.99
            dice.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
        assert scores[task] == pytest.approx(np.mean(dice))


def test_the_picture_shows_every_task(episodes, tmp_path):
    validation = Validation(UniverSegLearner(config()).predict, episodes)
    truth = {task: np.stack([e.target_label[..., 0] >= 0.5 for e in of]) for task, of in episodes.items()}
    validation.draw(tmp_path / "one.png", "step 1", dict.fromkeys(TASKS, 1.0), truth)
    validation.draw(tmp_path / "half.png", "step 1", {TASKS[0]: 1.0}, truth)
    one, half = (Image.open(tmp_path / name) for name in ("one.png", "half.png"))
    assert one.width == half.width
    assert one.height > 1.5 * half.height


def test_without_tasks_there_is_nothing_to_do():
    assert not Validation(UniverSegLearner(config()).predict, {})
    assert jax.tree.leaves(Validation(UniverSegLearner(config()).predict, {}).run({})) == []
