"""Define data to evaluate on: tasks, labelled examples, cases, and their folds."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from universeg_jax.data.corpus.read import Corpus, CorpusTask, Example
from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Float
from universeg_jax.util.random import generator


@dataclass(frozen=True)
class Case:
    """One scored unit: an image, or all slices of a volume.

    Attributes:
        name: unique in its task.
        subject: name of the subject; unique to the case if subjects are unknown.
        split: "train", "validation" or "test"; "" if the data have no splits.
        images: indices of its images.
        area: mean of the label map in [0,1], for a volume in the slice where it is largest.
        spacing: millimetres per pixel of the stacked images (D,H,W); None for an image, or if unknown.
    """

    name: str
    subject: str
    split: str
    images: tuple[int, ...]
    area: float
    spacing: tuple[float, float, float] | None = None

    @property
    def volume(self) -> bool:
        """True for a volume, False for an image."""
        return self.spacing is not None


class Data(Protocol):
    """Labelled images of one or more tasks.

    Attributes:
        tasks: sorted by name.
    """

    tasks: tuple[CorpusTask, ...]

    def examples(self, task: CorpusTask) -> tuple[Example, ...]:
        """Return the labelled images that may be shown as support."""
        ...

    def cases(self, task: CorpusTask) -> tuple[Case, ...]:
        """Return the cases to segment and score."""
        ...

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an image and its label map, (H,W,1) float32 in [0,1]. All have one size."""
        ...

    def name(self, image: int) -> str:
        """Name an image as `Case` names it."""
        ...

    def subjects_known(self, dataset: str) -> bool:
        """Return whether the subject of each image is known."""
        ...

    def fingerprint(self, dataset: str) -> str:
        """Return a digest that changes with the data."""
        ...


class CorpusData:
    """A prepared corpus as `Data`. Every stored image is a case, because a corpus holds single slices of volumes.

    Args:
        corpus: to evaluate on.
        datasets: names of datasets to use; None for all.
    """

    def __init__(self, corpus: Corpus, *, datasets: Collection[str] | None = None):
        self._corpus = corpus
        self.tasks = tuple(task for task in corpus.tasks if datasets is None or task.dataset in datasets)
        self.read = corpus.read

    def examples(self, task: CorpusTask) -> tuple[Example, ...]:
        return self._corpus.examples(task)

    def cases(self, task: CorpusTask) -> tuple[Case, ...]:
        return tuple(
            Case(self.name(e.image), e.subject, e.split, (e.image,), e.area) for e in self._corpus.examples(task)
        )

    def name(self, image: int) -> str:
        return f"{image:06d}"

    def subjects_known(self, dataset: str) -> bool:
        return self._corpus.about[dataset]["split"]["method"].endswith("by subject")

    def fingerprint(self, dataset: str) -> str:
        return f"{self._corpus.about[dataset]['fingerprint']}, {self._corpus.resolution} px"


class Labelled(NamedTuple):
    """Images and label maps of S examples."""

    images: Float[Array, "S H W 1"]
    labels: Float[Array, "S H W 1"]


class SupportPool:
    """Labelled images that a support set is drawn from, in random order.

    Args:
        data, task: source of the images, which are read on first use.
        examples: the images.
        cache: images that were read, by index. Pools of one task share it.
    """

    def __init__(self, data: Data, task: CorpusTask, examples: tuple[Example, ...], cache: dict):
        self.data, self.task, self.examples, self._cache = data, task, examples, cache

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, entries) -> Labelled:
        """Return the examples at these places of the pool."""
        pairs = [read_cached(self.data, self.task, self.examples[i].image, self._cache) for i in entries]
        return Labelled(*(np.stack(arrays) for arrays in zip(*pairs, strict=True)))

    def first(self, size: int) -> Labelled:
        """Return the first examples, a random support set. A larger set contains a smaller one."""
        return self.take(range(min(size, len(self))))

    def shuffled(self, rng: np.random.Generator) -> "SupportPool":
        """Return a pool of the same images in another order."""
        order = rng.permutation(len(self))
        return SupportPool(self.data, self.task, tuple(self.examples[i] for i in order), self._cache)


def read_cached(data: Data, task: CorpusTask, image: int, cache: dict) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its label map, or take them from the cache."""
    if image not in cache:
        cache[image] = data.read(task, image)
    return cache[image]


class Fold(NamedTuple):
    """Cases, and the examples that may support them."""

    support: tuple[Example, ...]
    cases: tuple[Case, ...]


def make_folds(
    data: Data, task: CorpusTask, *, seed: int, folds: int | None, targets: int | None, minimum_area: float
) -> list[Fold]:
    """Divide a task into folds. No subject is in the support and in the cases of the same fold.

    Args:
        data, task: to divide.
        seed: seed of the random draws.
        folds: None for the splits of the data, with support from train and cases from test. A number k deals the
            subjects into k groups, and each group is segmented with support from all others.
        targets: largest number of cases, chosen at random; None for all.
        minimum_area: smallest area of a label, as a fraction of the image.

    Returns:
        The folds that have both cases and support.

    Raises:
        InputError: the data have no splits, and `folds` is None.
    """
    if folds is None and not any(case.split for case in data.cases(task)):
        raise InputError(f"{task.dataset}: has no splits into train and test; pass folds=5 to cross-validate")
    examples = [e for e in data.examples(task) if e.area >= minimum_area]
    cases = [c for c in data.cases(task) if c.area >= minimum_area]
    if folds is None:
        train = tuple(e for e in examples if e.split == "train")
        made = [Fold(train, tuple(c for c in cases if c.split == "test"))]
    else:
        subjects = sorted({c.subject for c in data.cases(task)})
        order = generator(seed, "folds", task.dataset).permutation(len(subjects))
        number = min(folds, len(subjects))
        group = {subjects[s]: place % number for place, s in enumerate(order)}
        made = [
            Fold(tuple(e for e in examples if group[e.subject] != k), tuple(c for c in cases if group[c.subject] == k))
            for k in range(number)
        ]
    made = [fold for fold in made if fold.support and fold.cases]
    available = sorted(c.name for fold in made for c in fold.cases)
    order = generator(seed, "targets", task.name).permutation(len(available))
    chosen = {available[i] for i in order[:targets]}
    made = [Fold(tuple(fold.support), tuple(c for c in fold.cases if c.name in chosen)) for fold in made]
    return [fold for fold in made if fold.cases]
