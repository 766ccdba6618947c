"""Several in-context models whose probabilities are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from universeg_jax.errors import InputError

Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Blend:
    """In-context models and the weights of their probabilities, which depend on the number of examples.

    Attributes:
        models: two or more models (`universeg_jax.segment.model.InContextModel`). Input sizes and channels may differ.
        weights: positive sums of one weight for each model, by the smallest number of examples that they apply to.
            The key 1 is required. Empty stands for equal weights.

    Raises:
        InputError: for weights that do not fit the models, or cannot be normalised.
    """

    models: tuple[Any, ...]
    weights: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self):
        if not self.models:
            raise InputError("a blend of no models: pass at least one model")
        if self.weights and 1 not in self.weights:
            raise InputError(f"weights for {sorted(self.weights)} examples: give weights for 1 example as well")
        for examples, given in self.weights.items():
            if len(given) != len(self.models):
                raise InputError(
                    f"{len(given)} weights for {examples} examples but {len(self.models)} models: give one weight each"
                )
            if min(given) < 0 or not 0 < sum(given) < float("inf"):
                raise InputError(f"weights {tuple(given)}: pass finite weights of at least 0, not all of them 0")

    def weights_for(self, examples: int) -> Weights:
        """Return the weights for a number of examples, 1 or more. They sum to 1."""
        if not self.weights:
            return (1 / len(self.models),) * len(self.models)
        given = self.weights[max(number for number in self.weights if number <= examples)]
        return tuple(weight / sum(given) for weight in given)
