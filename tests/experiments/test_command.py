import pytest

from experiments.command import run
from universeg_jax.errors import InputError


def test_wrong_input_is_one_line_and_exit_code_2(capsys):
    def main():
        raise InputError("CORPUS: holds nothing")

    with pytest.raises(SystemExit, match=r"^2$"):
        run(main)
    assert capsys.readouterr().err.endswith("error: CORPUS: holds nothing\n")
