import io
import sys

import pytest

from universeg_jax.util.console import PatientStream, patient_output, printable


class Full(io.StringIO):
    def flush(self):
        raise OSError(28, "No space left on device")


def test_characters_that_the_console_lacks_are_escaped():
    bytes_ = io.BytesIO()
    stream = PatientStream(io.TextIOWrapper(bytes_, encoding="ascii"))
    print("Größe \udcff", file=stream, flush=True)
    assert bytes_.getvalue() == b"Gr\\xf6\\xdfe \\udcff\n"
    assert stream.failure is None


@pytest.mark.parametrize("target", [Full(), None, io.StringIO()])
def test_a_full_or_closed_console_ends_nothing(monkeypatch, target):
    monkeypatch.setattr(sys, "stdout", target)
    monkeypatch.setattr(sys, "stderr", target)
    if isinstance(target, io.StringIO) and not isinstance(target, Full):
        target.close()
    with patient_output() as out:
        print("text", flush=True)
        print("text", file=sys.stderr)
    assert (out.failure is None) == (target is None)
    assert sys.stdout is target


def test_terminals_are_not_steered():
    assert printable("a\x1b[31mb\r\nc\td\u202e") == "a\\x1b[31mb\\r\nc\td\\u202e"
    assert printable("Größe \u4e2d") == "Größe \u4e2d"
