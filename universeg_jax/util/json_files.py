"""Read and write JSON files, whole or line by line. The reader has limits and refuses hostile files by name."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError
from universeg_jax.util.files import check_regular, write_whole

LARGEST = 2**26
"""Bytes of the largest file that is read. A dataset.json of a hundred thousand scans has a tenth."""

DEEPEST = 32
"""Levels of nesting. The files of this package have at most six."""


def read_json(path: str | os.PathLike, *, advice: str = "", error: type[InputError] = InputError) -> Any:
    """Read a JSON file (UTF-8, with or without a byte order mark).

    Args:
        advice: way out for a damaged file, for the message.
        error: the class of the error.

    Raises:
        InputError: the file cannot be read, is no regular file, larger than `LARGEST`, deeper nested than `DEEPEST`,
            not JSON, has a key twice, NaN, an infinity, or text that is not Unicode.
    """
    size = check_regular(path, error=error)
    ending = f"; {advice}" if advice else ""
    if size > LARGEST:
        raise error(f"{path}: has {size} bytes, a JSON file may have {LARGEST}{ending}")
    try:
        return parse_json(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}{ending}") from None
    except ValueError as problem:
        raise error(f"{path}: is damaged or not JSON ({problem}){ending}") from None


def parse_json(text: str) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: as for `read_json`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    _check(value)
    return value


def write_json(path: str | os.PathLike, value: Any, *, indent: int = 2) -> None:
    """Write a JSON file for people to read. The file is never seen half written."""
    write_whole(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated[:40]!r} occurs twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any) -> None:
    level: Iterable[Any] = [value]
    for _ in range(DEEPEST):
        inside: list[Any] = []
        for each in level:
            if isinstance(each, str):
                _check_text(each)
            elif isinstance(each, float) and each in (float("inf"), float("-inf")):
                raise ValueError("a number is too large")
            elif isinstance(each, dict):
                inside += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                inside += each
        if not inside:
            return
        level = inside
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text[:40]!a} is not Unicode text") from None


class LineFile:
    """A file with one JSON value on each line, which only grows.

    Args:
        path: the file. It is created by the first `append`.
    """

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> list[Any]:
        """Return the values of all whole lines, and remove a last line that a kill cut short.

        Raises:
            InputError: the path is no regular file.
            ValueError: a line is no JSON.
        """
        if not self.path.exists():
            return []
        check_regular(self.path)
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole))
        return [json.loads(line) for line in whole.splitlines()]

    def append(self, value: Any) -> None:
        """Append a value. The disk holds it when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(value) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
