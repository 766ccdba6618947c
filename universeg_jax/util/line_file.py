"""Store JSON values line by line, so that a killed process loses at most the line it was writing."""

import json
import os
from pathlib import Path
from typing import Any


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
            ValueError: a line is no JSON.
        """
        if not self.path.exists():
            return []
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
