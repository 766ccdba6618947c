import pytest

from universeg_jax.errors import InputError
from universeg_jax.io.empty_slices import EMPTY_SLICES, EmptySlices


def test_what_is_written_is_read_again_and_nothing_leaves_no_file(tmp_path):
    EmptySlices("axial", {"b": [4], "a": [0, 7], "c": []}).write(tmp_path)
    assert EmptySlices.read(tmp_path) == EmptySlices("axial", {"a": [0, 7], "b": [4]})
    EmptySlices("axial", {"a": []}).write(tmp_path)
    assert not (tmp_path / EMPTY_SLICES).exists()
    assert EmptySlices.read(tmp_path) == EmptySlices()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"axis": 1, "slices": {}}',
        '{"axis": "axial", "slices": {"a": [-1]}}',
        '{"axis": "axial", "slices": {"a": [true]}}',
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content):
    (tmp_path / EMPTY_SLICES).write_text(content)
    with pytest.raises(InputError, match=r"empty-slices\.json: must hold"):
        EmptySlices.read(tmp_path)
