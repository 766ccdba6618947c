from pathlib import Path

import pytest

import experiments.configs
from tests.helpers.array_data import config
from universeg_jax.errors import InputError
from universeg_jax.train.config import RunConfig
from universeg_jax.train.config_file import override, read_config

GOOD = """
from universeg_jax.train.config import Stage, TrainConfig
stage = Stage(size=64, steps=10, batch_size=2, support_size=4, learning_rate=1e-3)
config = TrainConfig(stages=(stage,), seed=3)
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "run.py"
    file.write_text(text)
    return file


def test_a_file_is_run_and_its_fields_are_changed(tmp_path):
    found = read_config(written(tmp_path, GOOD), {"seed": 5, "dtype": "bfloat16"})
    assert (found.seed, found.dtype, found.stages[0].steps) == (5, "bfloat16", 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed=3", "sede=3"), r"run.py:4: sede: is no field of TrainConfig; did you mean seed\?"),
        (("batch_size", "batchsize"), r"run.py:3: batchsize: is no field of Stage; did you mean batch_size\?"),
        (("seed=3", "xyz=3"), "run.py:4: xyz: is no field of TrainConfig; there are stages, weights, seed"),
        (("steps=10", "steps=0"), "run.py:3: Stage.steps=0: pass a whole number at least 1"),
        (("import Stage", "import Stag"), "run.py:2: ImportError: "),
        (("stage = ", "stage == "), "run.py:3: NameError: "),
        (("(stage,)", "(stage,"), "SyntaxError: "),
        (("seed=3", "seed=exit(0)"), "run.py:4: SystemExit: 0"),
        (("config = ", "configuration = "), "defines no config = TrainConfig.*; found NoneType"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_config(written(tmp_path, GOOD.replace(*change)))


def test_classes_of_a_config_are_explained_too(tmp_path):
    text = "from universeg_jax.models.universeg import UniverSegConfig\nUniverSegConfig(encoder_feature=())\n"
    with pytest.raises(InputError, match="is no field of UniverSegConfig; did you mean encoder_features"):
        read_config(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.py: there is no such file"):
        read_config(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"validate_evry": 3}, "did you mean validate_every"),
        ({"ema": 2}, "TrainConfig.ema=2: pass a finite number at least 0 and below 1"),
    ],
)
def test_overrides_are_checked(values, message):
    with pytest.raises(InputError, match=message):
        override(config(), values)


@pytest.mark.parametrize("file", sorted(Path(experiments.configs.__path__[0]).glob("[!_]*.py")), ids=lambda f: f.stem)
def test_ours_can_be_read_and_say_how_to_run_them(file):
    assert isinstance(read_config(file), RunConfig)
    text = file.read_text()
    for part in (
        "Claim: ",
        f"python -m experiments.train experiments/configs/{file.name} --corpus ",
        "Expected time: ",
    ):
        assert part in text
