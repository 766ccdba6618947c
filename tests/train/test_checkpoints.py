import shutil
import warnings

import jax
import numpy as np
import optax
import pytest

from universeg_jax.errors import InputError
from universeg_jax.train.checkpoints import KEPT, Checkpoints
from universeg_jax.train.learner import TrainState
from universeg_jax.train.step import Devices

OPTIMIZER = optax.adam(1e-3)


def state(step: int, devices: Devices | None = None) -> TrainState:
    parameters = {name: np.random.default_rng((step, i)).random((3, 4), np.float32) for i, name in enumerate("ab")}
    filled = TrainState(parameters, parameters, OPTIMIZER.init(parameters), np.int32(step))
    return (devices or Devices(1)).replicate(filled)


def accept(about):
    assert about["note"] == "kept"


def latest(folder, devices=None):
    with Checkpoints(folder) as checkpoints:
        found, about = checkpoints.restore(state(0, devices), accept=accept)
    return found, about


def assert_equal(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), one, other)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Checkpoints of steps 1 to 3, of which the last two are kept."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state(step), {"note": "kept"})
    return folder


@pytest.fixture
def copied(written, tmp_path):
    return shutil.copytree(written, tmp_path / "checkpoints")


def test_the_latest_comes_back_bit_for_bit(written):
    found, about = latest(written)
    assert_equal(found, state(3))
    assert about["note"] == "kept"
    assert sorted(path.name for path in written.iterdir() if path.name.isdigit()) == ["2", "3"]
    assert KEPT == 2


@pytest.mark.parametrize("devices", [Devices(4), Devices(2, 2)], ids=str)
def test_it_comes_back_on_other_devices(written, devices):
    found, _ = latest(written, devices)
    assert_equal(found, state(3))
    assert len(found.parameters["a"].sharding.device_set) == 4


def test_an_empty_folder_holds_none(tmp_path):
    with Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.restore(state(0), accept=accept) is None


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut off", "flipped", "gone"])
def test_no_damage_goes_unseen(copied, damage):
    """Damage of any file changes nothing, or causes a warning and the use of the checkpoint before."""
    files = sorted(path for path in (copied / "3").rglob("*") if path.is_file())
    messages = 0
    for file in files:
        whole = file.read_bytes()
        middle = len(whole) // 2
        if damage == "gone":
            file.unlink()
        else:
            flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 1]) + whole[middle + 1 :]
            file.write_bytes(whole[:middle] if damage == "cut off" else flipped)
        with warnings.catch_warnings(record=True, action="always") as warned:
            found, _ = latest(copied)
        telling = [str(w.message) for w in warned if "is damaged and skipped" in str(w.message)]
        assert int(found.step) == (2 if telling else 3)
        assert_equal(found, state(int(found.step)))
        messages += len(telling)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(whole)
    assert messages >= 3
    assert int(latest(copied)[0].step) == 3


def test_when_all_are_damaged_it_is_said(copied):
    for file in [path for path in copied.rglob("*") if path.is_file()]:
        file.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(InputError, match=r"none of .* steps 3, 2 can"):
        latest(copied)


def test_what_does_not_suit_is_not_taken_for_damage(written):
    def refuse(about):
        raise InputError("another run")

    with Checkpoints(written) as checkpoints, pytest.raises(InputError, match="another run"):
        checkpoints.restore(state(0), accept=refuse)


def test_later_ones_are_forgotten(copied):
    with Checkpoints(copied) as checkpoints:
        checkpoints.forget_after(2)
        checkpoints.save(state(3), {"note": "kept", "again": True})
    assert latest(copied)[1]["again"]


def test_a_step_is_saved_once(copied):
    with Checkpoints(copied) as checkpoints:
        checkpoints.save(state(3), {"note": "another"})
    assert latest(copied)[1]["note"] == "kept"
