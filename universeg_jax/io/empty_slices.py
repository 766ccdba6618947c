"""Slices of labelled volumes that a person has confirmed to be empty, as the page notes them.

A mask cannot tell an empty slice from one that nobody has looked at. FOLDER/empty-slices.json lists the slices that
show no structure, by the name of their volume: {"axis": "axial", "slices": {"a": [0, 1, 7]}}. Numbers begin at 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.util.json_files import read_json, write_json

EMPTY_SLICES = "empty-slices.json"


@dataclass(frozen=True)
class EmptySlices:
    """Slices that are known to be empty.

    Attributes:
        axis: axis that the volumes are cut along.
        numbers: numbers of the slices, ascending, by the name of their volume.
    """

    axis: str = ""
    numbers: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "EmptySlices":
        """Read the slices of a folder; none without the file.

        Raises:
            InputError: a file of another form.
        """
        file = folder / EMPTY_SLICES
        if not file.exists():
            return cls()
        content = read_json(file)
        axis, slices = (content.get(key) for key in ("axis", "slices")) if isinstance(content, dict) else (None, None)
        if not (
            isinstance(axis, str)
            and isinstance(slices, dict)
            and all(isinstance(own, list) and all(type(k) is int and k >= 0 for k in own) for own in slices.values())
        ):
            raise InputError(f'{file}: must hold {{"axis": "axial", "slices": {{"a": [0, 1]}}}}; correct or remove it')
        return cls(axis, {name: sorted(set(own)) for name, own in slices.items()})

    def write(self, folder: Path) -> None:
        """Write the slices of a folder whole or not at all; without any, remove the file."""
        numbers = {name: list(own) for name, own in sorted(self.numbers.items()) if own}
        if numbers:
            write_json(folder / EMPTY_SLICES, {"axis": self.axis, "slices": numbers}, indent=0)
        else:
            (folder / EMPTY_SLICES).unlink(missing_ok=True)
