"""Store measurements line by line as they are made, so that a killed run can resume.

OUT/records.jsonl    first line: the options that all scores depend on; then one `Record` on each line
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import METRICS
from universeg_jax.util.json_files import LineFile


class Key(NamedTuple):
    """Name of a measurement: a method on a task with one random draw.

    Attributes:
        task, method: names.
        support: number of examples shown; None for all.
        pool: largest number of examples to choose from; None for all.
        draw: number of the draw.
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
        key: its name.
        identity: identity of the method.
        data: fingerprint of the dataset.
        shown: number of examples that were shown, the fewest of all folds.
        cases, subjects: names, one for each case.
        scores: (cases, metrics), in the order of METRICS.
        seconds: duration of the prediction of all cases.
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
    """Records of a run, in memory and in a file.

    Args:
        file: the file. Its records are read if it exists.
        about: options of the protocol that all scores depend on.
        identities: identities of the methods, by name.
        fingerprints: fingerprints of the datasets, by name.

    Raises:
        InputError: the file belongs to another run, or holds no records.
    """

    def __init__(self, file: Path, *, about: Mapping, identities: Mapping[str, str], fingerprints: Mapping[str, str]):
        self.file = file
        self._records: dict[Key, Record] = {}
        header = {"metrics": list(METRICS), **about}
        self._lines = LineFile(file)
        try:
            lines = self._lines.read()
        except ValueError as error:
            raise InputError(f"{file}: holds no records ({error}); pass another --out, or --overwrite") from None
        if not lines:  # new, or from a run that was killed before its first line
            self._lines.append(header)
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
        """Add a record. The file holds it when this returns."""
        self._lines.append(_to_json(record))
        self._records[record.key] = record


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
