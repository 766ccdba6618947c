"""Commands whose console is narrow, full or closed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.stand_in import write_task

PROGRAM = """
import sys
import universeg_jax.weights
from tests.helpers.stand_in import Brightness
universeg_jax.weights.load = lambda name: Brightness()
from universeg_jax.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def predict(folder: Path, redirection: str, **environment: str) -> subprocess.CompletedProcess:
    options = "predict --model universeg -s support -i images --labels labels -o out"
    command = f"'{sys.executable}' -c '{PROGRAM}' {options} {redirection}"
    path = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(command, shell=True, cwd=folder, env=found, capture_output=True, timeout=300)


@pytest.mark.parametrize(
    ("redirection", "environment"),
    [("", {"PYTHONIOENCODING": "ascii"}), (">/dev/full 2>/dev/full", {}), ("2>&-", {}), (">&- 2>&-", {})],
)
def test_results_are_written_whatever_the_console_does(tmp_path, redirection, environment):
    write_task(tmp_path)
    (tmp_path / "support" / "classes.json").write_text('{"255": "Größe"}', encoding="utf-8")
    done = predict(tmp_path, redirection, **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.json").is_file()
    if environment:
        assert b"Gr\\xf6\\xdfe" in done.stdout


def test_a_list_that_cannot_be_printed_is_an_error():
    command = f"'{sys.executable}' -m universeg_jax weights open-v4 >/dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr == b"error: standard output: [Errno 28] No space left on device\n"
