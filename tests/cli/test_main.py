import io
import subprocess
import sys

import pytest

from universeg_jax.cli.main import main
from universeg_jax.util.imports import install_command


@pytest.mark.parametrize("argv", [["--help"], ["predict", "--help"], ["demo", "--help"]])
def test_help(argv, capsys):
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 0
    assert "universeg-jax" in capsys.readouterr().out


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    shown = capsys.readouterr().err
    assert all(command in shown for command in ("demo", "predict", "prepare", "finetune", "evaluate", "export"))


@pytest.mark.parametrize("argv", [["nonsense"], ["predict"], ["predict", "--nonsense"]])
def test_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    assert "usage: universeg-jax" in capsys.readouterr().err


def test_help_does_not_wait_for_jax():
    program = """
import sys
from universeg_jax.cli.main import main
from universeg_jax.util.imports import install_command
try:
    main(["--help"])
finally:
    print("jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_a_missing_extra_is_named(tmp_path):
    program = f"""
import sys
sys.modules["tensorflow_datasets"] = None
from universeg_jax.cli.main import main
sys.exit(main(["prepare", {str(tmp_path)!r}, "--out", {str(tmp_path / "out")!r}, "--licence", "none"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"needs tensorflow_datasets: {install_command('data')}" in done.stderr


def test_a_name_that_the_console_cannot_show_is_printed_in_ascii(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)

    def run(arguments):
        print("mean Dice of Nucléus 細胞: 0.9")

    monkeypatch.setattr("universeg_jax.cli.demo.run", run)
    assert main(["demo"]) == 0
    stream.flush()
    assert stream.buffer.getvalue() == b"mean Dice of Nucl\\xe9us \\u7d30\\u80de: 0.9\n"


def test_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "universeg_jax", "predict"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "the following arguments are required" in done.stderr


def test_arguments_that_are_no_text_in_this_locale_are_refused_before_any_work(tmp_path, capsys):
    assert main(["prepare", str(tmp_path), "--out", "\udcff"]) == 2
    assert capsys.readouterr().err.startswith("error: '\\udcff': is not text in this locale")
