"""Define the protocol of an evaluation, and plan cases and support of every task.

The protocol is UniverSeg's (Butoi et al., 2023, section 4). Support comes from the train split and targets from the
test split of the same task, at the resolution of the data. Scores are means over random draws of the support.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Data, Fold, make_folds
from universeg_jax.segment.plan import MOST_DRAWS


@dataclass(frozen=True)
class EvaluationProtocol:
    """Options of a measurement.

    Attributes:
        support_sizes: numbers of examples shown; None for all. A task with fewer examples shows all it has. Smaller
            sets are the first entries of the larger ones of the same draw.
        pools: largest numbers of examples that the support is chosen from; None for all. They matter for methods that
            choose, such as ensembles. A size above a pool is not measured with it.
        draws: number of random draws of the support.
        targets: largest number of cases of a task; None for all.
        folds: number of folds for cross-validation, or None for the splits of the data; see `make_folds`.
        minimum_area: smallest area of a label, as a fraction of the image. Training has the same default.
        threshold: threshold of the probabilities.
        tolerance: tolerance of surface Dice, in pixels, or in millimetres for volumes.
        seed: seed of all random draws.

    Raises:
        InputError: a value is out of range.
    """

    support_sizes: tuple[int | None, ...] = (16,)
    pools: tuple[int | None, ...] = (None,)
    draws: int = 3
    targets: int | None = None
    folds: int | None = None
    minimum_area: float = 0.001
    threshold: float = 0.5
    tolerance: float = 1.0
    seed: int = 0

    def __post_init__(self):
        numbers = {"support_sizes": self.support_sizes, "pools": self.pools, "draws": [self.draws]}
        for name, values in {**numbers, "targets": [self.targets]}.items():
            if not values or any(value is not None and value < 1 for value in values):
                raise InputError(f"{name}={getattr(self, name)}: pass numbers from 1")
        if self.draws > MOST_DRAWS:
            raise InputError(f"draws={self.draws}: pass at most {MOST_DRAWS}")
        if self.folds is not None and self.folds < 2:
            raise InputError(f"folds={self.folds}: pass 2 or more")
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold={self.threshold}: pass a probability above 0 and below 1")
        if not 0 <= self.minimum_area < 1:
            raise InputError(f"minimum_area={self.minimum_area}: pass a fraction of the image, from 0 to below 1")
        if not 0 <= self.tolerance < np.inf:
            raise InputError(f"tolerance={self.tolerance}: pass a distance, 0 or more")
        if not self.pools_and_sizes():
            raise InputError(
                f"support_sizes={self.support_sizes}, pools={self.pools}: every pool is smaller than every size; pass "
                "larger pools or smaller sizes"
            )

    def depended_on(self) -> dict:
        """Return the options that every score depends on. Sizes, pools and draws can be added to a run."""
        return {k: v for k, v in asdict(self).items() if k not in ("support_sizes", "pools", "draws")}

    def pools_and_sizes(self) -> list[tuple[int | None, int | None]]:
        """Return the pairs of pool and support size that are measured: the pool has enough examples."""
        pairs = itertools.product(self.pools, self.support_sizes)
        return [(pool, size) for pool, size in pairs if pool is None or size is None or size <= pool]

    def grid(self) -> Iterator[tuple[int, int | None, int | None]]:
        """Iterate over (draw, pool, support size) of all measurements of a task by one method."""
        return ((draw, pool, size) for draw in range(self.draws) for pool, size in self.pools_and_sizes())


@dataclass(frozen=True)
class EvaluationPlan:
    """Cases and support of every task.

    Attributes:
        folds: folds of each task that has support and cases.
        left_out: reason for each task that is left out.
        too_small: number of cases of each task that are left out because of `minimum_area`, without zeros.
    """

    folds: dict[CorpusTask, list[Fold]]
    left_out: dict[str, str]
    too_small: dict[str, int]


def make_plan(data: Data, tasks: Sequence[CorpusTask], protocol: EvaluationProtocol) -> EvaluationPlan:
    """Choose the cases and the support of every task.

    Raises:
        InputError: no task has both, or the data have no splits and the protocol has no folds.
    """
    folds_of = partial(make_folds, data, seed=protocol.seed, folds=protocol.folds)
    made: dict[CorpusTask, list[Fold]] = {}
    left_out: dict[str, str] = {}
    too_small: dict[str, int] = {}
    for task in tasks:
        folds = folds_of(task, targets=protocol.targets, minimum_area=protocol.minimum_area)
        large, every = (
            _count(folds_of(task, targets=None, minimum_area=area)) for area in (protocol.minimum_area, 0.0)
        )
        if folds:
            made[task] = folds
            too_small |= {task.name: every - large} if every > large else {}
        elif every:
            left_out[task.name] = f"no support or no case whose label covers {protocol.minimum_area} of the image"
        elif protocol.folds:
            left_out[task.name] = "fewer than two subjects"
        else:
            left_out[task.name] = "nothing in train or nothing in test shows the label"
    if not made:
        reason = next((f"; {name}: {why}" for name, why in left_out.items()), "")
        raise InputError(f"none of {len(left_out)} tasks can be evaluated{reason}")
    return EvaluationPlan(made, left_out, too_small)


def _count(folds: Sequence[Fold]) -> int:
    return sum(len(fold.cases) for fold in folds)


def with_defaults(protocol: EvaluationProtocol, data: Data) -> EvaluationProtocol:
    """Return the protocol, with five folds if the data have no splits."""
    split = any(case.split for task in data.tasks[:1] for case in data.cases(task))
    return protocol if split or protocol.folds else replace(protocol, folds=5)
