"""The code blocks of README and docs run, on small images and networks; all commands parse."""

import re

import pytest

from tests.helpers.pages import PAGES, ROOT, Parsed, blocks, check_blocks, check_command, commands

INLINE = re.compile(r"`((?:PYTHONPATH=\S+ )?(?:universeg-jax|python -m) [^`]+)`")
"""A command within a sentence or a table."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_parse(page):
    check_blocks(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")
def test_code_blocks_run(page, folder, names, monkeypatch):
    monkeypatch.chdir(folder)
    for example in blocks(page, folder):
        example.namespace.update({"__name__": "__main__", **names})
        names = example.namespace
        example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_inline_commands_parse(page):
    for text in INLINE.findall(page.read_text(encoding="utf-8")):
        for words in commands(text):
            if any(word.startswith("-") and word not in ("-m", "--help") for word in words):
                check_command(words)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize(
    "command",
    [
        "universeg-jax predict --support a --images b --out c --colour red",
        "universeg-jax sing",
        "python -m experiments.evaluate --corpus C",
        'pip install ".[everything]"',
        "make tea",
    ],
)
def test_a_command_that_does_not_exist_is_found(command):
    with pytest.raises(AssertionError):
        check_command(next(commands(command)))


def test_a_command_that_exists_only_parses():
    check_command(next(commands("universeg-jax predict --support a --images b --out c  # no such folders")))
    assert issubclass(Parsed, Exception)
