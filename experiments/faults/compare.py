"""Compare the results of two runs, except for times."""

import filecmp
import json
from pathlib import Path

import numpy as np

from universeg_jax.util.files import TEMPORARY
from universeg_jax.util.outputs import UNFINISHED
from universeg_jax.weights import store
from universeg_jax.weights.mapping import get_parameters

VOLATILE = ("report.json", "results.json", "records.jsonl", "dataset_info.json", "tensorboard", "log", "checkpoints")
"""Files and folders that hold times, or an order of writing."""


def differences(expected: Path, found: Path) -> str:
    """Compare two folders file by file, folders of weights by their parameters; "" if they are equal."""
    names = {folder: _names(folder) for folder in (expected, found)}
    left = [name for name in names[found] if name.parts[0].startswith(TEMPORARY) or name.parts[0] == UNFINISHED]
    if left:
        return f"temporary files are left: {left[0]}"
    if names[expected] != names[found]:
        return f"other files: {min(names[expected] ^ names[found])}"
    for name in sorted(names[expected]):
        if not set(name.parts) & set(VOLATILE) and not _equal(expected / name, found / name):
            return f"another content: {name}"
    return ""


def _names(folder: Path) -> set[Path]:
    """List the files of a folder; of a folder of weights only the description, of volatile folders none."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    weights = {path.parent for path in files if path.name == store.DESCRIPTION}
    inside = {path for path in files if any((place / store.PARAMETERS) in path.parents for place in weights)}
    relative = {path.relative_to(folder) for path in files - inside}
    return {path for path in relative if not set(path.parent.parts) & set(VOLATILE)}


def _equal(one: Path, other: Path) -> bool:
    if one.name == store.DESCRIPTION:
        pairs = [get_parameters(store.load(file.parent)) for file in (one, other)]
        return pairs[0].keys() == pairs[1].keys() and all(np.array_equal(pairs[0][n], pairs[1][n]) for n in pairs[0])
    if one.name == "metrics.jsonl":
        lines = ([json.loads(line) for line in file.read_text().splitlines()] for file in (one, other))
        first, second = ([{k: v for k, v in line.items() if k != "seconds"} for line in each] for each in lines)
        return first == second
    return filecmp.cmp(one, other, shallow=False)
