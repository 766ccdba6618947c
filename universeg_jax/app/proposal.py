"""Proposals of a model for images, in memory and as files."""

import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from universeg_jax.app.pictures import digest, whole_in_new_folder
from universeg_jax.util.json_files import parse_json

RECENT = 16  # proposals in memory


@dataclass(frozen=True)
class Proposal:
    """Proposal for one image.

    Attributes:
        probability: (H,W,K) float16, of each class of `Workspace.classes` without the background.
        spread: (H,W) float16 standard deviation over an ensemble; None without one.
        forecast: expected Dice in [0,1].
        examples: names of the images that it was made from.
        note: the model, and why it was chosen.
        warnings: possible faults of the image, the examples or the proposal.
    """

    probability: np.ndarray
    spread: np.ndarray | None
    forecast: float
    examples: tuple[str, ...]
    note: str
    warnings: tuple[str, ...] = ()

    def mask(self, threshold: float, values: tuple[int, ...]) -> np.ndarray:
        """Return class values (H,W): the likeliest class where its probability is above the threshold, else 0."""
        likeliest = self.probability.argmax(axis=-1)
        found = self.probability.max(axis=-1) > threshold
        return np.where(found, np.array(values, np.int32)[likeliest], 0)


class Proposals:
    """Proposals of images, kept as files; the last ones also in memory.

    Args:
        folder: folder of the files; it is made.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._recent: OrderedDict[str, Proposal] = OrderedDict()

    def write(self, name: str, proposal: Proposal) -> None:
        """Keep the proposal for an image."""
        with whole_in_new_folder(self._file(name)) as part:
            write_proposal(part, proposal)
        self._remember(name, proposal)

    def read(self, name: str, classes: int) -> Proposal | None:
        """Return the proposal for an image; None if there is none, or it is damaged or of other classes."""
        found = self._recent.get(name)
        if found is None or found.probability.shape[-1] != classes:
            found = read_proposal(self._file(name), classes)
        if found is not None:
            self._remember(name, found)
        return found

    def names(self, names: Iterable[str]) -> set[str]:
        """Select the names that have a proposal."""
        files = {file.name for file in self._folder.iterdir()} if self._folder.is_dir() else set()
        return {name for name in names if self._file(name).name in files} if files else set()

    def _remember(self, name: str, proposal: Proposal) -> None:
        self._recent[name] = proposal
        self._recent.move_to_end(name)
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def _file(self, name: str) -> Path:
        return self._folder / f"{digest(name)}.npz"


def write_proposal(part: Path, proposal: Proposal) -> None:
    """Write a proposal as an npz file."""
    arrays = {"probability": proposal.probability.astype(np.float16), "forecast": np.float32(proposal.forecast)}
    if proposal.spread is not None:
        arrays["spread"] = proposal.spread.astype(np.float16)
    about = json.dumps({"examples": proposal.examples, "note": proposal.note, "warnings": proposal.warnings})
    with open(part, "wb") as file:
        np.savez_compressed(file, about=np.frombuffer(about.encode(), np.uint8), **arrays)  # type: ignore[arg-type]


def read_proposal(file: Path, classes: int) -> Proposal | None:
    """Read a kept proposal; None if there is none, it is damaged, or it is of other classes."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            about = parse_json(kept["about"].tobytes().decode())
            probability = kept["probability"]
            spread = kept.get("spread")
            forecast = float(kept["forecast"])
        if probability.ndim != 3 or probability.shape[-1] != classes:
            return None
        texts = tuple(map(str, about.get("warnings", ())))
        return Proposal(probability, spread, forecast, tuple(about["examples"]), str(about["note"]), texts)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, BadZipFile, zlib.error):
        return None
