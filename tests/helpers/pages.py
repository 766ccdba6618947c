"""Run the code blocks of Markdown pages: shell commands in this process, Python in one namespace for each page."""

import argparse
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from universeg_jax.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

NOT_RUN = re.compile(r"<!-- parsed, not run: .+ -->\n+$")
"""A comment before a block, for commands that need a network or hours: their options are checked only."""

QUICKLY = {
    "finetune": ["--steps", "2", "--support", "2", "--quiet"],
    "evaluate": ["--targets", "2", "--folds", "2", "--no-pictures", "--quiet"],
    "prepare": ["--workers", "1", "--quiet"],
    "export": ["--quiet"],
    "predict": ["--quiet"],
    "demo": ["--quiet"],
}
"""Options that make a command small; argparse takes the last value of an option."""


class Parsed(Exception):
    """The real parser has accepted a command line."""


def blocks(page: Path, folder: Path) -> Iterator[Example]:
    """All shell and Python blocks of a page in order; each `evaluate()` runs one in `folder`."""

    def only_parsed(example: Example) -> bool:
        return bool(NOT_RUN.search(example.document.text[: example.region.start]))

    def shell(example: Example) -> None:
        for words in commands(example.parsed):
            check_command(words) if only_parsed(example) else run_command(words, folder)

    def python(example: Example) -> None:
        if only_parsed(example):
            compile(example.parsed, str(page), "exec")
        else:
            PythonEvaluator()(example)

    parsers = [CodeBlockParser("python", python), CodeBlockParser("sh", shell)]
    return iter(Document.parse(str(page), *parsers).examples())


def check_blocks(page: Path) -> None:
    """Let the real parsers read all commands of a page, and compile its Python.

    Raises:
        AssertionError: for a command that does not exist.
        SyntaxError: for code that is not Python.
    """

    def shell(example: Example) -> None:
        for words in commands(example.parsed):
            check_command(words)

    def python(example: Example) -> None:
        compile(example.parsed, str(page), "exec")

    parsers = [CodeBlockParser("python", python), CodeBlockParser("sh", shell)]
    for example in Document.parse(str(page), *parsers).examples():
        example.evaluate()


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, without variables before it and programs around it."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for word in words:  # a command given as one word to another program
            if " && " in word:
                words = shlex.split(word.rpartition(" && ")[2])
        starts = [i for i, word in enumerate(words) if word in ("universeg-jax", "python", "pip", "make")]
        if starts:
            yield words[starts[0] :]


def check_command(words: list[str]) -> None:
    """Let the real parser of a command read its options, and run nothing.

    Raises:
        AssertionError: for an unknown module, option, extra or target.
    """
    with pytest.MonkeyPatch.context() as patch:
        parse = argparse.ArgumentParser.parse_args

        def parse_args(self, *arguments):
            parse(self, *arguments)
            raise Parsed

        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        try:
            run_command(words, ROOT)
        except Parsed:
            return
        except SystemExit as left:  # of argparse
            raise AssertionError(f"{shlex.join(words)}: the parser refuses this") from left
    assert words[0] in ("pip", "make"), f"{shlex.join(words)}: parses no options"


def run_command(words: list[str], folder: Path) -> None:
    """Run a command of a page with small options in a folder.

    Raises:
        AssertionError: it fails.
    """
    program, *rest = words
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if program == "universeg-jax":
            assert main([*rest, *QUICKLY.get(rest[0], [])]) == 0, shlex.join(words)
        elif program == "python":
            assert rest[0] == "-m", f"{shlex.join(words)}: only modules are run"
            patch.setattr(sys, "argv", rest[1:])
            with suppress_success():
                runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
        elif program == "pip":
            _check_extras(rest)
        else:
            _check_targets(rest)


@contextmanager
def suppress_success() -> Iterator[None]:
    """Let a program leave with exit code 0."""
    try:
        yield
    except SystemExit as left:
        if left.code:
            raise


def _check_extras(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"^(?:\.|universeg-jax)\[(.*)\]$", "\n".join(words), re.MULTILINE):
        assert set(extra.split(",")) <= project["optional-dependencies"].keys(), f"pip: there is no extra {extra}"


def _check_targets(words: list[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(words) <= set(targets), f"make {shlex.join(words)}: the Makefile has {', '.join(targets)}"
