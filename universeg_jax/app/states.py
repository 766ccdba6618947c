"""States of the images of a folder that is being labelled, and the file that keeps them between sessions."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.util.json_files import read_json, write_json


class State(Enum):
    """State of an image."""

    EMPTY = "empty"
    PROPOSED = "proposed"
    EDITED = "edited"
    CONFIRMED = "confirmed"


LABELLED = (State.EDITED, State.CONFIRMED)
"""States of images whose mask is saved."""


@dataclass(frozen=True)
class Kept:
    """Kept state of one image, and the expected Dice of its proposal; None without one."""

    state: State
    forecast: float | None


@dataclass(frozen=True)
class Session:
    """An earlier session of a folder.

    Attributes:
        images: state of each image, in the order of their last change.
        masks: size, time and class values of each mask file when it was read last.
        axis: axis along which volumes were cut; "" of pictures.
    """

    images: Mapping[str, Kept] = field(default_factory=dict)
    masks: Mapping[str, list[int]] = field(default_factory=dict)
    axis: str = ""

    @classmethod
    def read(cls, file: Path) -> "Session":
        """Read a session. A missing or damaged file counts as none: masks show most states again."""
        content = {}
        with suppress(InputError):
            content = read_json(file)
        content = content if isinstance(content, dict) else {}
        images, masks, axis = content.get("images"), content.get("masks"), content.get("axis")
        known = {state.value: state for state in State}
        kept = {}
        for name, about in (images if isinstance(images, dict) else {}).items():
            if isinstance(about, dict) and about.get("state") in known:
                forecast = about.get("forecast")
                usable = float(forecast) if isinstance(forecast, int | float) and 0 <= forecast <= 1 else None
                kept[name] = Kept(known[about["state"]], usable)
        if not isinstance(masks, dict) or not all(
            isinstance(about, list) and len(about) > 1 and all(isinstance(number, int) for number in about)
            for about in masks.values()
        ):
            masks = {}
        return cls(kept, masks, axis if isinstance(axis, str) else "")

    def write(self, file: Path) -> None:
        """Write the session whole or not at all."""
        file.parent.mkdir(exist_ok=True)
        states = {name: {"state": kept.state.value, "forecast": kept.forecast} for name, kept in self.images.items()}
        write_json(file, {"version": 1, "axis": self.axis, "images": states, "masks": dict(self.masks)}, indent=0)


def file_stamp(file: Path) -> list[int]:
    """Return size and time of a file, which change when it is written."""
    about = file.stat()
    return [about.st_size, about.st_mtime_ns]
