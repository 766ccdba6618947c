"""States of the images of a folder that is being labelled: the file that keeps them, and images that cannot be used."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
        axis: axis along which volumes were cut; "" for pictures.
    """

    images: Mapping[str, Kept] = field(default_factory=dict)
    masks: Mapping[str, list[int]] = field(default_factory=dict)
    axis: str = ""

    @classmethod
    def read(cls, file: Path) -> "Session":
        """Read a session. A missing or damaged file counts as none, because masks show most states."""
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


class Problems:
    """Reasons why images, masks or volumes cannot be used, by the name of the image or volume."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[str, tuple]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def noting(self, name: str, version: tuple = ()) -> Iterator[None]:
        """Note an error inside, and continue after the block.

        A block that succeeds removes the note. So the block must read everything that was wrong before.

        Args:
            name: name of the image or volume.
            version: changes when its files change.
        """
        try:
            yield
        except (InputError, OSError) as error:
            self.note(name, _reason(error), version)
        else:
            with self._lock:
                self._noted.pop(name, None)

    def note(self, name: str, reason: str, version: tuple = ()) -> None:
        """Note why an image cannot be used; the reason names the file."""
        with self._lock:
            self._noted[name] = reason, version

    def of(self, name: str) -> str:
        """Return why an image cannot be used; "" for one without a known problem."""
        return self._noted.get(name, ("", ()))[0]

    def is_of(self, name: str, version: tuple) -> bool:
        """Tell whether an image has a problem that was noted for this version of its files."""
        return name in self._noted and self._noted[name][1] == version

    def all(self) -> dict[str, str]:
        """Return all reasons by name, sorted."""
        with self._lock:
            return {name: self._noted[name][0] for name in sorted(self._noted)}


def _reason(error: Exception) -> str:
    """Return an error as one line that names its file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
