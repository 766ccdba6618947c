import dataclasses
import json

import pytest

from tests.helpers.array_data import LIGHT, STAGE, config
from universeg_jax.errors import InputError
from universeg_jax.train.config import Stage, TrainConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 0),
        ("size", 10**9),
        ("batch_size", 10**12),
        ("support_size", 10**9),
        ("steps", 2.5),
        ("batch_size", "four"),
        ("support_size", (3, 2)),
        ("support_size", 0),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("final_learning_rate", -1),
        ("warmup_steps", 6),
        ("support_deck", 4),
        ("support_deck", [4]),
        ("support_deck", (1, 0)),
        ("support_deck", (1, "4")),
        ("support_deck", (1, 10**9)),
        ("support_deck", (1, 2)),
    ],
)
def test_stages_refuse_what_is_out_of_range(field, value):
    with pytest.raises(InputError, match=rf"^Stage\.{field}(\[1\])?="):
        dataclasses.replace(STAGE, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stages", ()),
        ("stages", (64,)),
        ("seed", "now"),
        ("seed", 10**23),
        ("workers", 10**6),
        ("model", 5),
        ("validation_episodes", 10**12),
        ("synthetic", 1.5),
        ("outlined", -1),
        ("superpixels", 2),
        ("unions", -0.5),
        ("validation", -0.1),
        ("training", 0),
        ("minimum_area", 1),
        ("minimum_support", 0),
        ("split", "all"),
        ("muon", "yes"),
        ("ema", 1.0),
        ("dice", -1),
        ("clip_norm", 0),
        ("dtype", "float16"),
        ("workers", -1),
        ("patience", 0),
        ("validate_every", 0),
        ("save_every", "often"),
        ("picture_every", 1.5),
    ],
)
def test_runs_refuse_what_is_out_of_range(field, value):
    with pytest.raises(InputError, match=rf"^TrainConfig\.{field}="):
        config(**{field: value})


def test_one_loss_needs_a_weight():
    with pytest.raises(InputError, match="dice=0, cross_entropy=0"):
        config(dice=0, cross_entropy=0)


def test_made_up_episodes_are_at_most_all():
    assert config(synthetic=0.5, superpixels=0.5).superpixels == 0.5
    with pytest.raises(InputError, match=r"synthetic=0\.6, superpixels=0\.5: are shares of the same episodes"):
        config(synthetic=0.6, superpixels=0.5)


def test_steps_belong_to_stages():
    run = config(stages=(STAGE, dataclasses.replace(STAGE, steps=3)))
    assert run.steps == 9
    assert [run.stage_at(step) for step in (0, 5, 6, 8)] == [(0, 0), (0, 0), (1, 6), (1, 6)]
    with pytest.raises(ValueError, match="step 9 of 9"):
        run.stage_at(9)


def test_a_fixed_support_size_is_least_and_most():
    assert STAGE.support_sizes == (1, 4)
    assert dataclasses.replace(STAGE, support_size=3).support_sizes == (3, 3)


def test_a_deck_names_the_sizes_of_its_batches():
    dealt = dataclasses.replace(STAGE, support_size=4, support_deck=(2, 4, 2))
    assert dealt.support_sizes == (2, 4)
    assert dealt.support_lengths == (2, 4)
    assert STAGE.support_lengths == (4,)  # smaller supports are padded
    with pytest.raises(InputError, match=r"support_deck=\(1, 2\): .* is 2, but support_size=4; pass support_size=2"):
        dataclasses.replace(dealt, support_deck=(1, 2))


def test_checkpoints_can_hold_it():
    kept = json.loads(json.dumps(config(policy=LIGHT).to_json()))
    assert kept["stages"][0]["support_size"] == [1, 4]
    assert kept["policy"]["in_task"]["noise"] == 0.5
    assert kept.keys() == {field.name for field in dataclasses.fields(TrainConfig)}


def test_stages_are_values():
    assert Stage(64, 10, 1, 8, 1e-3) == Stage(64, 10, 1, 8, 1e-3)
    assert len({STAGE, dataclasses.replace(STAGE)}) == 1
