"""Collect what happened in each try, and write it as a table."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from universeg_jax.util.files import write_whole
from universeg_jax.util.json_files import read_json, write_json


@dataclass(frozen=True)
class Tries:
    """Outcomes of one kind of fault.

    Attributes:
        group: "kills", "damage", ...
        fault: description of the fault.
        promise: what must happen.
        kept: tries in which it did.
        broken: outcome -> number, of the other tries.
    """

    group: str
    fault: str
    promise: str
    kept: int
    broken: dict[str, int]

    @classmethod
    def of(cls, group: str, fault: str, promise: str, outcomes: list[str]) -> "Tries":
        """Count outcomes; an empty one means that the promise was kept."""
        counts = Counter(outcomes)
        return cls(group, fault, promise, counts.pop("", 0), dict(counts))


class Results:
    """Results in a folder: results.json, which a further run adds to, and table.md.

    Args:
        folder: gets both files.
        about: command, versions and machine.
    """

    def __init__(self, folder: Path, about: dict):
        self._file, self._table, self._about = folder / "results.json", folder / "table.md", about
        folder.mkdir(parents=True, exist_ok=True)
        found = read_json(self._file)["tries"] if self._file.exists() else []
        self.tries = {(each["group"], each["fault"]): Tries(**each) for each in found}

    def add(self, tries: Tries) -> None:
        """Add the outcomes of one kind of fault, and write both files."""
        self.tries[tries.group, tries.fault] = tries
        write_json(self._file, {**self._about, "tries": [asdict(each) for each in self.tries.values()]})
        rows = ["| fault | promise | tried | kept | otherwise |", "|---|---|---|---|---|"]
        for each in self.tries.values():
            otherwise = "; ".join(f"{number} {outcome}" for outcome, number in each.broken.items())
            tried = each.kept + sum(each.broken.values())
            rows.append(f"| {each.group}: {each.fault} | {each.promise} | {tried} | {each.kept} | {otherwise} |")
        write_whole(self._table, f"`{self._about['command']}`\n\n" + "\n".join(rows) + "\n")
        print(json.dumps(asdict(tries)), flush=True)
