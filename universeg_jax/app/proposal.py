"""Proposal of a model for one image, in memory and as a file."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from universeg_jax.util.json_files import parse_json


@dataclass(frozen=True)
class Proposal:
    """Proposal for one image.

    Attributes:
        probability: (H,W,K) float16, of each class of `Workspace.classes` without the background.
        spread: (H,W) float16 standard deviation over an ensemble; None without one.
        forecast: expected Dice in [0,1].
        examples: names of the images that it was made from.
        note: the model, and why it was chosen.
    """

    probability: np.ndarray
    spread: np.ndarray | None
    forecast: float
    examples: tuple[str, ...]
    note: str

    def mask(self, threshold: float, values: tuple[int, ...]) -> np.ndarray:
        """Return class values (H,W): the likeliest class where its probability is above the threshold, else 0."""
        likeliest = self.probability.argmax(axis=-1)
        found = self.probability.max(axis=-1) > threshold
        return np.where(found, np.array(values, np.int32)[likeliest], 0)


def write_proposal(part: Path, proposal: Proposal) -> None:
    """Write a proposal as an npz file."""
    arrays = {"probability": proposal.probability.astype(np.float16), "forecast": np.float32(proposal.forecast)}
    if proposal.spread is not None:
        arrays["spread"] = proposal.spread.astype(np.float16)
    about = json.dumps({"examples": proposal.examples, "note": proposal.note})
    with open(part, "wb") as file:
        np.savez_compressed(file, about=np.frombuffer(about.encode(), np.uint8), **arrays)


def read_proposal(file: Path, classes: int) -> Proposal | None:
    """Read a kept proposal; None where there is none, it is damaged, or it is of other classes."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            about = parse_json(kept["about"].tobytes().decode())
            probability = kept["probability"]
            spread = kept.get("spread")
            forecast = float(kept["forecast"])
        if probability.ndim != 3 or probability.shape[-1] != classes:
            return None
        return Proposal(probability, spread, forecast, tuple(about["examples"]), str(about["note"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, BadZipFile, zlib.error):
        return None
