"""Commands whose console is narrow, full or closed."""

import os
import subprocess
import sys

import pytest

from tests.helpers.stand_in import write_task

PROGRAM = """
import os, sys
import universeg_jax.io.overview, universeg_jax.segment.report, universeg_jax.segment.segmenter, universeg_jax.weights
from tests.helpers.stand_in import Brightness
universeg_jax.weights.load = lambda name: Brightness()
from universeg_jax.cli.main import main

def narrow():
    os.dup2(os.open("narrow.txt", os.O_WRONLY | os.O_CREAT), 1)
    sys.stdout = open(1, "w", encoding="ascii")

def full(*streams):
    for stream in streams:
        os.dup2(os.open("/dev/full", os.O_WRONLY), stream)

def close(*streams):
    for stream in streams:
        os.close(stream)
        setattr(sys, {1: "stdout", 2: "stderr"}[stream], None)

def full_list():
    full(1)
    os.dup2(os.open("list.txt", os.O_WRONLY | os.O_CREAT), 2)

KINDS = {
    "narrow": narrow, "full": lambda: full(1, 2), "no errors": lambda: close(2), "closed": lambda: close(1, 2),
    "list": full_list,
}
for kind, change in KINDS.items():
    child = os.fork()
    if not child:
        change()
        folders = ["-s", "support", "-i", "images", "--labels", "labels", "-o", kind]
        predict = ["predict", "-m", "universeg", *folders]
        sys.exit(main(["weights", "open-v4"] if kind == "list" else predict))  # the interpreter ends as usual
    print(kind, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sep=": ", flush=True)
"""
"""Imports everything once, and forks a process for each kind of console."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder that the commands worked in, and their exit codes by kind of console."""
    folder = tmp_path_factory.mktemp("console")
    write_task(folder)
    (folder / "support" / "classes.json").write_text('{"255": "Größe"}', encoding="utf-8")
    path = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ") for line in done.stdout.splitlines() if line.count(": ") == 1)
    return folder, {kind: int(code) for kind, code in lines.items() if code.lstrip("-").isdigit()}


@pytest.mark.parametrize("kind", ["narrow", "full", "no errors", "closed"])
def test_results_are_written_whatever_the_console_does(run, kind):
    folder, codes = run
    assert codes[kind] == 0
    assert (folder / kind / "report.json").is_file()


def test_characters_that_the_console_lacks_are_escaped(run):
    assert b"Gr\\xf6\\xdfe" in (run[0] / "narrow.txt").read_bytes()


def test_a_list_that_cannot_be_printed_is_an_error(run):
    folder, codes = run
    assert codes["list"] == 2
    assert (folder / "list.txt").read_text() == "error: standard output: [Errno 28] No space left on device\n"
