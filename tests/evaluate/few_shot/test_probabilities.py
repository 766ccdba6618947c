import numpy as np
import pytest

from tests.helpers.stacks import Intensity, stack
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.probabilities import StoredMethod

SUPPORT, QUERY = stack("a", seed=1).organ("ball"), stack("b", seed=2).organ("ball")


def test_a_second_method_reads_what_the_first_one_stored(tmp_path):
    first, second = Intensity(), Intensity()
    found = StoredMethod(first, tmp_path / "new").segment(SUPPORT, QUERY)
    again = StoredMethod(second, tmp_path / "new").segment(SUPPORT, QUERY)
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(found, first.segment(SUPPORT, QUERY))
    assert second.calls == 0


def test_other_scans_and_other_methods_are_computed(tmp_path):
    method = Intensity()
    stored = StoredMethod(method, tmp_path)
    stored.segment(SUPPORT, QUERY)
    stored.segment(QUERY, SUPPORT)
    method.identity = "intensity 2"
    stored.segment(SUPPORT, QUERY)
    assert method.calls == 3


def test_a_damaged_file_is_named(tmp_path):
    stored = StoredMethod(Intensity(), tmp_path)
    stored.segment(SUPPORT, QUERY)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InputError, match=rf"{file.name}: cannot be read .* delete it"):
        stored.segment(SUPPORT, QUERY)
