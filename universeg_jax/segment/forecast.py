"""Forecast of the quality of a segmentation: the expected Dice of a task, and of each image.

`leave_one_out.py` segments the examples, and `selection.expected` scores them. The forecast is made from these scores.
"""

from dataclasses import dataclass, replace
from math import inf, sqrt

import numpy as np

SLOPE = 1.0  # change of Dice with certainty


@dataclass(frozen=True)
class Forecast:
    """Dice to expect on new images of a task.

    Attributes:
        dice: the expected mean Dice.
        low: lower end of the 95 % interval of the mean Dice of the new images.
        high: upper end of that interval.
        examples: number of examples that were segmented from the others.
        certainty: mean certainty of their segmentations.
        deviation: standard deviation of their Dice; None for one example.
        images: number of new images or volumes; None for very many.
        unit: kind of the examples: "examples" of images; "volumes" or "pictures" to segment volumes.
    """

    dice: float
    low: float
    high: float
    examples: int
    certainty: float
    deviation: float | None = None
    images: int | None = None
    unit: str = "examples"

    @classmethod
    def of(cls, dices: np.ndarray, certainties: np.ndarray, unit: str = "examples") -> "Forecast | None":
        """Make a forecast from examples segmented by leave-one-out; None without a scored example.

        Args:
            dices: (M,) their Dice; NaN if none can be measured.
            certainties: (M,) their certainty.
            unit: kind of the examples.
        """
        known = ~np.isnan(dices)
        number = int(known.sum())
        if number == 0:
            return None
        deviation = float(dices[known].std(ddof=1)) if number > 1 else None
        mean, certain = float(np.clip(dices[known].mean(), 0, 1)), float(certainties[known].mean())
        return cls(mean, 0.0, 1.0, number, certain, deviation, unit=unit).for_images(None)

    def for_images(self, number: int | None) -> "Forecast":
        """Return the forecast for the mean Dice of `number` new images or volumes: a wide interval for few."""
        low, high = 0.0, 1.0
        if self.deviation is not None:
            from scipy import stats  # slow to import, and most predictions make no forecast

            # Two means vary by chance: the mean of the examples, and the mean of the new images.
            error = self.deviation * sqrt(1 / self.examples + 1 / (number or inf))
            half = float(stats.t.ppf(0.975, self.examples - 1)) * error
            low, high = max(0.0, self.dice - half), min(1.0, self.dice + half)
        return replace(self, low=low, high=high, images=number)

    def of_image(self, certainty: float) -> float:
        """Predict the Dice of an image from the certainty of its segmentation."""
        return float(np.clip(self.dice + SLOPE * (certainty - self.certainty), 0, 1))

    def __str__(self) -> str:
        noun = "image" if self.unit == "examples" else "volume"
        about = "" if self.images is None else f" of {self.images} {noun}{'s' * (self.images != 1)}"
        interval = f"{self.low:.2f} to {self.high:.2f}"
        return f"expected Dice{about} {self.dice:.2f} ({interval}), from leave-one-out over {self.examples} {self.unit}"


def certainty(probability: np.ndarray) -> float:
    """Estimate the Dice of a mask from its own probabilities, from 0 to 1.

    It is the soft Dice between the probabilities and the mask made from them, averaged over the foreground classes that
    are found. If nothing is found, it is the smallest probability of the background.

    Args:
        probability: (H,W,P), or (H,W) for a binary task.
    """
    if probability.ndim == 2:
        probability = probability[..., None]
    several = probability.shape[-1] > 1
    winners = probability.argmax(axis=-1) if several else (probability[..., 0] > 0.5).astype(int)
    found = []
    for k in range(1, probability.shape[-1]) if several else [1]:
        mask, own = winners == k, probability[..., k if several else 0]
        if mask.any():
            found.append(2 * float(own[mask].sum()) / float(own.sum() + mask.sum()))
    if found:
        return float(np.mean(found))
    return float(probability[..., 0].min() if several else 1 - probability.max())


class Certainty:
    """Certainty (`certainty`) of a volume, whose slices are added one after the other."""

    def __init__(self) -> None:
        self._inside: np.ndarray = np.zeros(())
        self._total: np.ndarray = np.zeros(())
        self._found: np.ndarray = np.zeros(())
        self._background = 1.0

    def add(self, probability: np.ndarray) -> None:
        """Add the probabilities (H,W,P) of the structures in one slice."""
        best, highest = probability.argmax(axis=-1), probability.max(axis=-1)
        masks = (best[..., None] == np.arange(probability.shape[-1])) & (highest > 0.5)[..., None]
        self._inside = self._inside + (probability * masks).sum(axis=(0, 1), dtype=np.float64)
        self._total = self._total + probability.sum(axis=(0, 1), dtype=np.float64)
        self._found = self._found + masks.sum(axis=(0, 1))
        self._background = min(self._background, 1 - float(highest.max()))

    @property
    def value(self) -> float:
        """Certainty of all slices together."""
        found = self._found > 0
        if not found.any():
            return self._background
        return float((2 * self._inside[found] / (self._total[found] + self._found[found])).mean())
