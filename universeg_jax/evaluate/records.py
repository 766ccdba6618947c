"""What was measured, written line by line as it is measured, so that a run that was killed goes on where it stopped.

OUT/records.jsonl    first line: the options that all numbers depend on; then one `Record` a line
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import METRICS


class Key(NamedTuple):
    """Which measurement: a method on a task with one random draw.

    Attributes:
        support: examples shown; None for all there are.
        pool: examples they were chosen from, at most; None for all there are.
    """

    task: str
    method: str
    support: int | None
    pool: int | None
    draw: int


@dataclass(frozen=True)
class Record:
    """One measurement.

    Attributes:
        identity: of the method.
        data: fingerprint of the dataset.
        shown: examples shown in fact: fewer than asked for where there are not so many, the fewest of all folds.
        cases, subjects: names, one for each case.
        scores: of each case, in the order of METRICS.
        seconds: of the prediction of all cases.
    """

    key: Key
    identity: str
    data: str
    shown: int
    cases: tuple[str, ...]
    subjects: tuple[str, ...]
    scores: np.ndarray
    seconds: float


class Records:
    """The records of a run, in memory and in a file.

    Args:
        file: made with its first line if it is not there, or empty; otherwise what it holds is taken up.
        about: the options of the protocol that all numbers depend on.
        identities: of the methods that will be run, by name.
        fingerprints: of the datasets they will be run on, by name.

    Raises:
        InputError: the file is of another run, or none.
    """

    def __init__(self, file: Path, *, about: Mapping, identities: Mapping[str, str], fingerprints: Mapping[str, str]):
        self.file = file
        self._records: dict[Key, Record] = {}
        header = {"metrics": list(METRICS), **about}
        lines = _whole_lines(file) if file.exists() else []
        if not lines:  # new, or of a run that was killed before it wrote one
            file.parent.mkdir(parents=True, exist_ok=True)
            self._append(header)
            return
        first, *rest = lines
        if first != json.loads(json.dumps(header)):
            raise InputError(f"{file}: {_difference(first, header)}; pass another --out, or --overwrite")
        for line in rest:
            record = _from_json(line)
            self._records[record.key] = record
            dataset = record.key.task.split("/")[0]
            for what, name, was, now in (
                ("method", record.key.method, record.identity, identities.get(record.key.method)),
                ("dataset", dataset, record.data, fingerprints.get(dataset)),
            ):
                if now not in (None, was):
                    raise InputError(
                        f"{file}: the {what} {name} was {was}, now it is {now}; pass another --out, or --overwrite"
                    )

    def __contains__(self, key: Key) -> bool:
        return key in self._records

    def __getitem__(self, key: Key) -> Record:
        return self._records[key]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Keep a record; it is in the file when this returns."""
        self._append(_to_json(record))
        self._records[record.key] = record

    def _append(self, line: Mapping) -> None:
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def _whole_lines(file: Path) -> list[dict]:
    """The lines of a file. One that was cut short when its writer was killed is removed."""
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with file.open("r+b") as stream:
            stream.truncate(len(whole))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise InputError(f"{file}: holds no records ({error}); pass another --out, or --overwrite") from None


def _difference(found: object, expected: Mapping) -> str:
    if not isinstance(found, dict):
        return "holds no records"
    name = next(name for name in {**expected, **found} if found.get(name) != expected.get(name))
    return f"was made with {name} {found.get(name)}, now it is {expected.get(name)}"


def _to_json(record: Record) -> dict:
    scores = np.round(record.scores, 6).tolist()
    return {**record.key._asdict(), **{k: v for k, v in asdict(record).items() if k != "key"}, "scores": scores}


def _from_json(line: dict) -> Record:
    rest = {name: value for name, value in line.items() if name not in Key._fields}
    lists = {name: tuple(rest[name]) for name in ("cases", "subjects")}
    key = Key(*(line[name] for name in Key._fields))
    return Record(key, **{**rest, **lists, "scores": np.array(rest["scores"], float)})
