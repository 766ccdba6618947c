"""Digests of files, as their authors or the repositories that hold them publish them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Sha256:
    """The SHA-256 of a file, in hexadecimal."""

    value: str

    @classmethod
    def of(cls, path: str | os.PathLike) -> Self:
        with open(path, "rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest())

    def __str__(self) -> str:
        return f"sha256 {self.value}"


@dataclass(frozen=True)
class GitBlobId:
    """The id git gives the content of a file: sha1("blob <size>\\0" + content), in hexadecimal."""

    value: str

    @classmethod
    def of(cls, path: str | os.PathLike) -> Self:
        found = hashlib.sha1(b"blob %d\0" % Path(path).stat().st_size, usedforsecurity=False)
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: found)
        return cls(found.hexdigest())

    def __str__(self) -> str:
        return f"git blob id {self.value}"


Digest = Sha256 | GitBlobId
