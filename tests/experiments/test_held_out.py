import pytest

from experiments.configs.open_v4 import config as open_v4
from experiments.configs.small import config as small
from experiments.held_out import HELD_OUT
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.corpus.select import refuse_held_out
from universeg_jax.errors import InputError

REFUSED = ("ACDC", "acdc_train", "PanDental_v1", "dental_panoramic", "STARE", "wbc_jtsc", "HC18", "Dataset027_ACDC_12")


def task(name: str) -> CorpusTask:
    return CorpusTask(name, "MR", "axial", "1")


@pytest.mark.parametrize("name", [*REFUSED, "sa_hc18", "my_scd", "ms_oasis", "sa_leukocyte"])
def test_held_out_names_are_refused(name):
    with pytest.raises(InputError, match=f"^{name}: held out"):
        refuse_held_out([task("hearts"), task(name)], HELD_OUT)


def test_other_names_pass():
    refuse_held_out([task(name) for name in ("oasis", "chasedb1", "bbbc038", "ms_lesions")], HELD_OUT)


def test_configs_hold_them_out():
    assert small.held_out == open_v4.held_out == HELD_OUT
