import dataclasses
import resource
import shutil
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from tests.helpers.array_data import STAGE, TASKS, ArrayData, config
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.checkpoints import Checkpoints
from universeg_jax.train.learner import initial_model, initial_state, make_optimizer
from universeg_jax.train.loop import NonFinite, train
from universeg_jax.train.monitor import read_metrics
from universeg_jax.train.step import Devices
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import load, read_description

ONE = Devices(1)


def done(run, out, *, devices=ONE, data=None, **options):
    return train(run, "", out, devices=devices, data=data or ArrayData(), **({"quiet": True} | options))


def saved(run, out):
    """Restore the latest state, and its description."""
    like = ONE.replicate(initial_state(get_parameters(initial_model(run)), make_optimizer(run)))
    with Checkpoints(out / "checkpoints") as checkpoints:
        return checkpoints.restore(like, accept=lambda about: None)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def steps(folder, what="loss"):
    return [line["step"] for line in read_metrics(folder / "metrics.jsonl") if what in line]


def losses(folder):
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    out = tmp_path_factory.mktemp("complete") / "run"
    best = done(config(picture_every=6), out, provenance={"made": "in a test"})
    assert best == out / "best"
    return out


def test_a_run_leaves_what_it_says(complete):
    assert sorted(path.name for path in complete.iterdir()) == [
        "best",
        "checkpoints",
        "last",
        "metrics.jsonl",
        "pictures",
        "tensorboard",
    ]
    lines = read_metrics(complete / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [path.name for path in (complete / "pictures").iterdir()] == ["000006.png"]
    validation = {line["step"]: line["validation"] for line in lines if "validation" in line}
    assert validation[6] == pytest.approx(np.mean(list(lines[-1]["validation_tasks"].values())))
    about = read_description(complete / "best")["provenance"]
    assert about["made"] == "in a test"
    assert about["validation_dice"] == max(validation.values()) == validation[about["step"]]
    assert load(complete / "last").config.input_size == STAGE.size


def test_a_checkpoint_holds_everything_to_resume(complete):
    run = config(picture_every=6)
    state, about = saved(run, complete)
    last = get_parameters(load(complete / "last"))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, state.average), last)
    assert int(state.step) == 6
    assert about["seed"] == run.seed
    assert about["position"] == {"stage": 0, "batch": 6, "episode": 24}
    assert about["config"]["stages"][0]["learning_rate"] == STAGE.learning_rate


def test_a_complete_run_is_left_as_it_is(complete, capsys):
    before = files(complete)
    assert done(config(), complete, quiet=False) == complete / "best"
    assert "is complete after step 6 of 6" in capsys.readouterr().err
    after = files(complete)
    for name in ("best", "metrics.jsonl"):
        of = [path for path in before if path.parts[0] == name]
        assert [before[path] for path in of] == [after[path] for path in of]
    assert (complete / "checkpoints" / "6").is_dir()


@pytest.mark.slow
def test_a_run_resumes_on_other_devices(tmp_path):
    stages = tuple(dataclasses.replace(STAGE, steps=2) for _ in range(3))
    done(config(stages=stages), tmp_path / "one")
    for number, devices in enumerate([ONE, Devices(4), Devices(2, 2)], 1):
        done(config(stages=stages[:number]), tmp_path / "other", devices=devices)
    one, other = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "other"))
    for name in ("loss", "gradient_norm"):
        expected, found = ([line[name] for line in lines if name in line] for lines in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_loss_that_is_not_a_number_stops_the_run_before_it_spoils_anything(tmp_path):
    run = config(save_every=2)
    with pytest.raises(NonFinite, match="step 4: the loss is nan") as raised:
        done(run, tmp_path / "run", data=ArrayData(spoilt=13))
    assert all(task.name in str(raised.value) for task in TASKS)
    assert "The state after step 3 is kept in" in str(raised.value)
    assert steps(tmp_path / "run") == [1, 2, 3]
    state, _ = saved(run, tmp_path / "run")
    assert int(state.step) == 3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    done(run, tmp_path / "run")  # with images that were mended
    done(run, tmp_path / "whole")
    last = [get_parameters(load(tmp_path / name / "last")) for name in ("run", "whole")]
    jax.tree.map(np.testing.assert_array_equal, *last)


class WithoutValidation(ArrayData):
    def validation_episodes(self, stage):
        return {}


def test_a_run_of_dealt_support_sizes_resumes_bit_for_bit(tmp_path):
    stage = dataclasses.replace(STAGE, size=8, steps=4, batch_size=2, support_size=2, support_deck=(1, 2))
    run = config(stages=(stage,), model=UniverSegConfig(encoder_features=((2, 2), (2, 2))), save_every=1)
    out, data = tmp_path / "run", WithoutValidation()
    done(run, out, data=data)
    whole, weights = losses(out), get_parameters(load(out / "last"))
    for later in ("checkpoints/4", "last"):
        shutil.rmtree(out / later)
    done(run, out, data=data)  # from step 3, in the middle of a round
    assert len(whole) == 4
    assert losses(out) == whole
    jax.tree.map(np.testing.assert_array_equal, get_parameters(load(out / "last")), weights)


@contextmanager
def largest_file(size: int):
    """Files end here, as on a full disk, with OSError to those who write more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [64, 1500])
def test_on_a_full_disk_nothing_is_lost(tmp_path, size):
    out = tmp_path / "run"
    done(config(), out)
    weights, longer = get_parameters(load(out / "best")), config(stages=(STAGE, STAGE))
    with largest_file(size), pytest.raises(InputError, match=r"cannot be (saved|written).*"):
        done(longer, out)
    state, _ = saved(config(), out)
    assert int(state.step) >= 6
    jax.tree.map(np.testing.assert_array_equal, get_parameters(load(out / "best")), weights)
    done(longer, out)
    assert steps(out) == list(range(1, 13))


@pytest.mark.parametrize(
    ("run", "devices", "message"),
    [
        (config(seed=1), ONE, "seed was 0, is 1"),
        (config(stages=(dataclasses.replace(STAGE, batch_size=2),)), ONE, r"stages\[0\].batch_size was 4, is 2"),
        (config(stages=(dataclasses.replace(STAGE, batch_size=6),)), Devices(4), "batch_size=6: 4 devices cannot"),
        (config(weights="nowhere"), ONE, "nowhere"),
    ],
)
def test_a_start_that_fails_changes_nothing(complete, run, devices, message):
    before = files(complete)
    with pytest.raises(InputError, match=message):
        done(run, complete, devices=devices)
    assert files(complete) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "mine").write_text("mine")
    with pytest.raises(InputError, match="holds best but no checkpoints/, so it is no run to resume"):
        done(config(), tmp_path)
    with pytest.raises(InputError, match="mine: is a file"):
        done(config(), tmp_path / "best" / "mine")
    assert list(files(tmp_path).values()) == [b"mine"]


def test_a_run_whose_validation_does_not_get_better_ends(tmp_path, capsys):
    run = config(stages=(dataclasses.replace(STAGE, learning_rate=1e-9),), validate_every=1, patience=2)
    done(run, tmp_path / "run", quiet=False)
    assert "ends after step 3: validation Dice did not rise 2 times in a row" in capsys.readouterr().err
    done(run, tmp_path / "run", quiet=False)
    assert "is complete after step 3 of 6" in capsys.readouterr().err
    assert steps(tmp_path / "run") == [1, 2, 3]
