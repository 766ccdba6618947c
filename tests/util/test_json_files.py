import os

import pytest

from universeg_jax.errors import InputError
from universeg_jax.util import json_files
from universeg_jax.util.json_files import LineFile, read_json, write_json


def test_what_is_written_is_read(tmp_path):
    value = {"text": "Größe \U0001f9e0", "numbers": [1, 2.5, -3e300, True, None], "empty": {}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"\xff\xfe", "decode"),
        (b"[" * 100_000, "nested deeper than 32"),
        (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "nested deeper than 32"),
        (b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b"1" * 5000, "digits"),
        (b'{"\\ud800": 1}', "is not Unicode text"),
        (b'["\\udfff"]', "is not Unicode text"),
    ],
)
def test_hostile_files_are_refused_by_name(tmp_path, content, problem):
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_json(file, advice="make it again")
    assert str(caught.value).startswith(f"{file}: is damaged or not JSON (")
    assert str(caught.value).endswith("; make it again")


def test_large_files_and_pipes_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "LARGEST", 10)
    (tmp_path / "large.json").write_text("[" + " " * 10 + "]")
    with pytest.raises(InputError, match="has 12 bytes, a JSON file may have 10"):
        read_json(tmp_path / "large.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is a pipe"):
        read_json(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is a pipe"):
        LineFile(tmp_path / "pipe.json").read()


def test_the_deepest_that_is_allowed(tmp_path):
    (tmp_path / "file.json").write_text("[" * 32 + "]" * 32)
    assert read_json(tmp_path / "file.json")
