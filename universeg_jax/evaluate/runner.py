"""The protocol all methods are measured by: UniverSeg's (Butoi et al., 2023, section 4).

Support from the train split, targets from the test split of the same task, at the resolution of the data, the mean of
several random draws of the support. Everything drawn is a function of seed, task and number of the draw alone: the
same for all methods and support sizes, which so are compared on like terms, and for every run.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from tqdm import tqdm

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Case, Data, Fold, SupportPool, make_folds, read_cached
from universeg_jax.evaluate.methods import Method
from universeg_jax.evaluate.metrics import Scores, as_array, score
from universeg_jax.evaluate.records import Key, Record, Records
from universeg_jax.util.random import generator


@dataclass(frozen=True)
class EvaluationProtocol:
    """How to measure.

    Attributes:
        support_sizes: examples shown, None for all there are; where a task has fewer, all it has. Of one draw, the
            smaller sets are the first entries of the larger ones.
        pools: the support may be chosen from at most so many examples, None for all. It matters to methods that
            choose, like ensembles. Sizes above a pool's are not measured with it.
        draws: random draws of the support.
        targets: cases per task, at most; None for all.
        folds: None for the splits of the data, or a number for cross-validation; see `make_folds`.
        minimum_area: cases and examples whose label covers less of the image are left out; 0.001, which is 16 pixels
            of 128×128, as in training.
        threshold: of the probabilities.
        tolerance: of surface Dice, in pixels, or in millimetres for volumes.
        seed: of everything drawn.

    Raises:
        InputError: a value out of range.
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
        if self.folds is not None and self.folds < 2:
            raise InputError(f"folds={self.folds}: pass 2 or more")
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold={self.threshold}: pass a probability between 0 and 1, both excluded")
        if not 0 <= self.minimum_area < 1:
            raise InputError(f"minimum_area={self.minimum_area}: it is a fraction of the image, from 0 to below 1")
        if not 0 <= self.tolerance < np.inf:
            raise InputError(f"tolerance={self.tolerance}: it is a distance, 0 or more")
        if not self.pools_and_sizes():
            raise InputError(
                f"support_sizes={self.support_sizes}, pools={self.pools}: no pool holds so many examples; pass larger "
                "pools or smaller sizes"
            )

    def depended_on(self) -> dict:
        """The options that every number depends on; sizes, pools and draws can be added to a run."""
        return {k: v for k, v in asdict(self).items() if k not in ("support_sizes", "pools", "draws")}

    def pools_and_sizes(self) -> list[tuple[int | None, int | None]]:
        """The support sizes that are measured with each pool: those it has enough examples for."""
        pairs = itertools.product(self.pools, self.support_sizes)
        return [(pool, size) for pool, size in pairs if pool is None or size is None or size <= pool]

    def grid(self) -> Iterator[tuple[int, int | None, int | None]]:
        """(draw, pool, support size) of all measurements of a task by a method."""
        return ((draw, pool, size) for draw in range(self.draws) for pool, size in self.pools_and_sizes())


@dataclass(frozen=True)
class Plan:
    """What of the data is measured.

    Attributes:
        folds: of each task that has support and cases.
        left_out: why each of the others is left out.
        too_small: how many cases are left out of each task because of `minimum_area`; tasks without any are not named.
    """

    folds: dict[CorpusTask, list[Fold]]
    left_out: dict[str, str]
    too_small: dict[str, int]


def make_plan(data: Data, tasks: Sequence[CorpusTask], protocol: EvaluationProtocol) -> Plan:
    """Decide on cases and support.

    Raises:
        InputError: no task has both, or data without splits are to be evaluated without folds.
    """
    options = dict(seed=protocol.seed, folds=protocol.folds)
    made: dict[CorpusTask, list[Fold]] = {}
    left_out: dict[str, str] = {}
    too_small: dict[str, int] = {}
    for task in tasks:
        folds = make_folds(data, task, targets=protocol.targets, minimum_area=protocol.minimum_area, **options)
        large, every = (
            _count(make_folds(data, task, targets=None, minimum_area=area, **options))
            for area in (protocol.minimum_area, 0.0)
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
    return Plan(made, left_out, too_small)


def _count(folds: Sequence[Fold]) -> int:
    return sum(len(fold.cases) for fold in folds)


class TaskRun:
    """One task, measured by methods one after the other; its images are read once."""

    def __init__(self, data: Data, task: CorpusTask, folds: Sequence[Fold], protocol: EvaluationProtocol):
        self.data, self.task, self.folds, self.protocol = data, task, folds, protocol
        self._cache: dict = {}

    def predict(self, method: Method, key: Key, fold: int) -> tuple[list[np.ndarray], int]:
        """The probabilities (images,H,W) of each case of a fold, and how many examples were shown."""
        pool, cases = self.pool(key, fold), self.folds[fold].cases
        targets = np.concatenate([self.read(case)[0] for case in cases])
        shown = len(pool) if key.support is None else min(key.support, len(pool))
        probability = np.asarray(method.predict(self._generator("method", fold, key.draw), pool, shown, targets))
        ends = np.cumsum([len(case.images) for case in cases])
        return np.split(probability[..., 0], ends[:-1]), shown

    def pool(self, key: Key, fold: int) -> SupportPool:
        """What the support of a draw is taken from."""
        support = self.folds[fold].support
        order = self._generator("support", fold, key.draw).permutation(len(support))
        return SupportPool(self.data, self.task, tuple(support[i] for i in order[: key.pool]), self._cache)

    def read(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """The images and label maps of a case, (images,H,W,1) each."""
        pairs = [read_cached(self.data, self.task, image, self._cache) for image in case.images]
        return tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True))

    def measure(self, method: Method, key: Key) -> Record:
        cases, scores, seconds, numbers = [], [], 0.0, []
        for fold, (_, of_fold) in enumerate(self.folds):
            began = time.perf_counter()
            probabilities, shown = self.predict(method, key, fold)
            seconds += time.perf_counter() - began
            numbers.append(shown)
            cases += of_fold
            scores += [self._score(*pair) for pair in zip(of_fold, probabilities, strict=True)]
        return Record(
            key,
            method.identity,
            self.data.fingerprint(self.task.dataset),
            min(numbers),
            tuple(case.name for case in cases),
            tuple(case.subject for case in cases),
            np.round(as_array(scores), 6),  # as they are written, so that a run that goes on gives the same digits
            round(seconds, 3),
        )

    def _score(self, case: Case, probability: np.ndarray) -> Scores:
        truth = self.read(case)[1][..., 0]
        if not case.volume:
            probability, truth = probability[0], truth[0]
        options = dict(threshold=self.protocol.threshold, tolerance=self.protocol.tolerance)
        return score(probability, truth, spacing=case.spacing, **options)

    def _generator(self, what: str, fold: int, draw: int) -> np.random.Generator:
        return generator(self.protocol.seed, what, self.task.name, fold, draw)


def run(
    data: Data,
    plan: Plan,
    methods: Sequence[Method],
    protocol: EvaluationProtocol,
    records: Records,
    *,
    progress: bool = False,
) -> None:
    """Measure what `records` do not hold yet, and add it to them."""
    grid = list(protocol.grid())
    total = len(plan.folds) * len(grid) * len(methods)
    with tqdm(total=total, desc="evaluating", unit="run", disable=not progress) as bar:
        for task, folds in plan.folds.items():
            bar.set_postfix_str(task.name)
            of_task = TaskRun(data, task, folds, protocol)
            for draw, pool, size in grid:
                for method in methods:
                    key = Key(task.name, method.name, size, pool, draw)
                    if key not in records:
                        records.add(of_task.measure(method, key))
                    bar.update()


def with_defaults(protocol: EvaluationProtocol, data: Data) -> EvaluationProtocol:
    """The protocol with five folds if the data come without splits."""
    split = any(case.split for task in data.tasks[:1] for case in data.cases(task))
    return protocol if split or protocol.folds else replace(protocol, folds=5)
