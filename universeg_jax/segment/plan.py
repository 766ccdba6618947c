"""Plan of a task: the weight of each model, the examples shown for each target, and the mean of an ensemble."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_number

SIMILAR = 16  # examples shown for each target by default, if the most similar ones are chosen

MOST_DRAWS = 1000  # draws of an ensemble; after some dozens its spread hardly changes

Shown = Literal["all", "similar"] | np.ndarray


@dataclass(frozen=True, eq=False)
class Plan:
    """Way to segment the images of a task.

    Attributes:
        weights: weight of each model of the segmenter. They sum to 1; models with weight 0 are not run.
        support: "all" shows every example for every target, "similar" the most similar ones. An array (N,S) gives the
            weight of each example for each of N targets.
        support_size: examples shown for each target by "similar", or in each draw of an ensemble. None is the default.
        ensemble: number of random draws of the examples whose probabilities are averaged.
        seed: seed of the draws.
        threshold: probability that separates foreground and background. Probabilities are shifted so that it becomes
            0.5 (`Classes.shifted`).
    """

    weights: tuple[float, ...]
    support: Shown = "all"
    support_size: int | None = None
    ensemble: int = 1
    seed: int = 0
    threshold: float = 0.5

    def checked(self, examples: int) -> "Plan":
        """Return the plan.

        Args:
            examples: number of examples of the task.

        Raises:
            InputError: options that cannot be used, alone or together.
        """
        check_number("ensemble", self.ensemble, least=1, most=MOST_DRAWS, whole=True)
        if self.support_size is not None and not 1 <= self.support_size <= examples:
            raise InputError(f"support_size={self.support_size}: the support set has {examples} entries")
        check_number("seed", self.seed, least=0, whole=True)
        if isinstance(self.support, str):
            if self.support not in ("all", "similar"):
                raise InputError(f'support={self.support!r}: pass "all", "similar", or an array of weights')
            if self.support == "all":
                return self
        elif self.support.ndim != 2 or self.support.shape[1] != examples:
            raise InputError(f"support of shape {self.support.shape}: pass weights (N,S) for S={examples} examples")
        elif not (np.isfinite(self.support).all() and (self.support >= 0).all()):
            raise InputError("support: pass finite weights of at least 0")
        elif not (self.support > 0).any(axis=1).all():
            raise InputError("support: give at least one example a positive weight for every target")
        if self.ensemble > 1:
            raise InputError(f'ensemble={self.ensemble}: random draws need support="all"; omit one of both')
        return self


class RunningMean:
    """Weighted mean and standard deviation of maps that are added one by one (West, 1979)."""

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None
        self._squares: np.ndarray | None = None
        self._total = 0.0

    def add(self, values: np.ndarray, weight: float) -> None:
        """Add one map."""
        self._total += weight
        if self._mean is None:
            self._mean = values
            return
        difference = values - self._mean
        self._mean = self._mean + difference * (weight / self._total)
        squares = weight * difference * (values - self._mean)
        self._squares = squares if self._squares is None else self._squares + squares

    @property
    def mean(self) -> np.ndarray:
        """Mean of the maps so far; there must be one."""
        if self._mean is None:
            raise ValueError("no map was added")
        return self._mean

    @property
    def spread(self) -> np.ndarray | None:
        """Standard deviation; None for a single map."""
        return None if self._squares is None else np.sqrt(np.maximum(self._squares, 0) / self._total)
