import dataclasses
import json
from pathlib import Path

import pytest

from tests.helpers.array_data import LIGHT, STAGE, config
from universeg_jax.errors import InputError
from universeg_jax.train.run_folder import check_same_run

LONGER = dataclasses.replace(STAGE, steps=9)


def check(now, then):
    check_same_run(now, {"config": json.loads(json.dumps(then.to_json()))}, Path("run"))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"validate_every": 1, "save_every": 7, "picture_every": 9, "workers": 2, "patience": 3},
        {"stages": (STAGE, LONGER)},
    ],
)
def test_what_may_change(changed):
    check(config(**changed), config())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, r"run: holds a run with another configuration: seed was 0, is 1\. Change it back"),
        ({"seed": 1, "ema": 0.5}, "seed was 0, is 1; ema was 0.999, is 0.5"),
        ({"stages": (LONGER,)}, r"stages\[0\].steps was 6, is 9"),
        ({"stages": (LONGER, STAGE)}, r"stages\[0\].steps was 6, is 9"),
        ({"policy": LIGHT}, r"policy.task.brightness_contrast was 0.0, is 0.5; .*flip_vertically was 0.0, is 0.5"),
        ({"weights": "open-v0"}, "weights was None, is 'open-v0'"),
    ],
)
def test_what_may_not(changed, message):
    with pytest.raises(InputError, match=message):
        check(config(**changed), config())


def test_stages_may_not_go_away():
    with pytest.raises(InputError, match=r"stages\[1\].steps was 9, is absent"):
        check(config(), config(stages=(STAGE, LONGER)))


def test_fields_newer_than_the_checkpoint_had_their_default():
    kept = json.loads(json.dumps(config().to_json()))
    del kept["minimum_area"]
    check_same_run(config(), {"config": kept}, Path("run"))
    with pytest.raises(InputError, match=r"minimum_area was 0\.001, is 0\.01"):
        check_same_run(config(minimum_area=0.01), {"config": kept}, Path("run"))


def test_fields_of_stages_and_policies_newer_than_the_checkpoint_had_their_default():
    run = config(policy=LIGHT, stages=(dataclasses.replace(STAGE, support_size=4),))
    kept = json.loads(json.dumps(run.to_json()))
    del kept["stages"][0]["support_deck"], kept["policy"]["target"], kept["policy"]["flip_target"]
    check_same_run(run, {"config": kept}, Path("run"))
    dealt = dataclasses.replace(run, stages=(dataclasses.replace(run.stages[0], support_deck=(1, 4)),))
    with pytest.raises(InputError, match=r"stages\[0\]\.support_deck was \[\], is \[1, 4\]"):
        check_same_run(dealt, {"config": kept}, Path("run"))
    changed = dataclasses.replace(run, policy=dataclasses.replace(LIGHT, target=LIGHT.in_task, flip_target=0.1))
    with pytest.raises(InputError, match=r"policy\.flip_target was 0\.0, is 0\.1.*policy\.target\.affine was absent"):
        check_same_run(changed, {"config": kept}, Path("run"))


def test_another_corpus_is_refused_by_the_names_of_its_datasets():
    about = {"config": json.loads(json.dumps(config().to_json())), "corpus": {"a": "1", "b": "2"}}
    check_same_run(config(), about, Path("run"), {"b": "2", "a": "1"})
    with pytest.raises(InputError, match="run: holds a run on another corpus: b, c came, went or changed"):
        check_same_run(config(), about, Path("run"), {"a": "1", "b": "3", "c": "4"})
