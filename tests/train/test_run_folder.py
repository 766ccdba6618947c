import os

import pytest

from universeg_jax.errors import InputError
from universeg_jax.train.run_folder import own_folder


def test_one_run_at_a_time(tmp_path):
    with own_folder(tmp_path / "run"):
        with pytest.raises(InputError, match="run: another run is writing to it"), own_folder(tmp_path / "run"):
            raise AssertionError
        with own_folder(tmp_path / "other"):
            pass
    with own_folder(tmp_path / "run"):
        pass


def test_what_a_kill_left_behind_is_cleared_away(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / ".uj-0123abcd" / "parameters").mkdir(parents=True)
    (tmp_path / ".mine").mkdir()
    with own_folder(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".mine", "checkpoints"]


def test_a_pipe_in_the_place_of_the_metrics_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(InputError, match=r"metrics\.jsonl: is a pipe"), own_folder(tmp_path):
        raise AssertionError
