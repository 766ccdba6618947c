"""States of the images of a folder that is being labelled, and the file that keeps them between sessions."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Kept:
    """Kept state of one image, and the expected Dice of its proposal; None without one."""

    state: State
    forecast: float | None


def read_states(file: Path) -> tuple[dict[str, Kept], dict[str, list[int]]]:
    """Read the states of an earlier session. A missing or damaged file counts as empty: masks tell the states again.

    Returns:
        The state of each image, and size, time and class values of each mask when it was read last.
    """
    content = {}
    with suppress(InputError):
        content = read_json(file)
    content = content if isinstance(content, dict) else {}
    images, masks = content.get("images"), content.get("masks")
    known = {state.value: state for state in State}
    kept = {}
    for name, about in (images if isinstance(images, dict) else {}).items():
        if isinstance(about, dict) and about.get("state") in known:
            forecast = about.get("forecast")
            usable = isinstance(forecast, int | float) and 0 <= forecast <= 1
            kept[name] = Kept(known[about["state"]], float(forecast) if usable else None)
    numbers = isinstance(masks, dict) and all(
        isinstance(about, list) and all(isinstance(number, int) for number in about) for about in masks.values()
    )
    return kept, masks if numbers else {}


def write_states(file: Path, images: Mapping[str, Kept], masks: Mapping[str, list[int]]) -> None:
    """Write the states whole or not at all."""
    file.parent.mkdir(exist_ok=True)
    states = {name: {"state": kept.state.value, "forecast": kept.forecast} for name, kept in images.items()}
    write_json(file, {"version": 1, "images": states, "masks": dict(masks)})
