"""What is evaluated on: the tasks of some data, the labelled images and the cases of each, and how they are split."""

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
    """What one score is for: an image, or all slices of a volume.

    Attributes:
        name: unique in its task.
        subject: whom it shows; unique to the case where subjects are unknown.
        split: "train", "validation" or "test"; "" where the data come without splits.
        images: indices of its images.
        area: mean of the label map, of a volume in the slice where it is largest; in [0,1].
        spacing: millimetres per pixel of the stacked images (D,H,W); None where unknown, or for an image.
    """

    name: str
    subject: str
    split: str
    images: tuple[int, ...]
    area: float
    spacing: tuple[float, float, float] | None = None

    @property
    def volume(self) -> bool:
        return self.spacing is not None


class Data(Protocol):
    """Labelled images of one or several tasks.

    Attributes:
        tasks: sorted by name.
    """

    tasks: tuple[CorpusTask, ...]

    def examples(self, task: CorpusTask) -> tuple[Example, ...]:
        """The labelled images that may be shown as support."""
        ...

    def cases(self, task: CorpusTask) -> tuple[Case, ...]:
        """What is segmented and scored."""
        ...

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        """An image and its label map, (H,W,1) float32 in [0,1]; all are of one size."""
        ...

    def subjects_known(self, dataset: str) -> bool: ...

    def fingerprint(self, dataset: str) -> str:
        """Another one when the data change."""
        ...


class CorpusData:
    """A prepared corpus, as `Data`. Every stored image is a case: of volumes, a corpus keeps single slices.

    Args:
        datasets: only these; None for all.
    """

    def __init__(self, corpus: Corpus, *, datasets: Collection[str] | None = None):
        self._corpus = corpus
        self.tasks = tuple(task for task in corpus.tasks if datasets is None or task.dataset in datasets)
        self.read = corpus.read

    def examples(self, task: CorpusTask) -> tuple[Example, ...]:
        return self._corpus.examples(task)

    def cases(self, task: CorpusTask) -> tuple[Case, ...]:
        return tuple(
            Case(f"{e.image:06d}", e.subject, e.split, (e.image,), e.area) for e in self._corpus.examples(task)
        )

    def subjects_known(self, dataset: str) -> bool:
        return self._corpus.about[dataset]["split"]["method"].endswith("by subject")

    def fingerprint(self, dataset: str) -> str:
        return f"{self._corpus.about[dataset]['fingerprint']}, {self._corpus.resolution} px"


class Labelled(NamedTuple):
    """Images and label maps of S examples."""

    images: Float[Array, "S H W 1"]
    labels: Float[Array, "S H W 1"]


class SupportPool:
    """The labelled images that a support set may be drawn from, in random order.

    Args:
        data, task: where they are read from, each when it is first asked for.
        examples: which they are.
        cache: images that were read, by index; pools of one task share it.
    """

    def __init__(self, data: Data, task: CorpusTask, examples: tuple[Example, ...], cache: dict):
        self.data, self.task, self.examples, self._cache = data, task, examples, cache

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, entries) -> Labelled:
        """The examples of these indices."""
        pairs = [read_cached(self.data, self.task, self.examples[i].image, self._cache) for i in entries]
        return Labelled(*(np.stack(arrays) for arrays in zip(*pairs, strict=True)))

    def first(self, size: int) -> Labelled:
        """The first examples: a random support set, and part of the one of any larger size."""
        return self.take(range(min(size, len(self))))

    def shuffled(self, rng: np.random.Generator) -> "SupportPool":
        """The same images in another order."""
        order = rng.permutation(len(self))
        return SupportPool(self.data, self.task, tuple(self.examples[i] for i in order), self._cache)


def read_cached(data: Data, task: CorpusTask, image: int, cache: dict) -> tuple[np.ndarray, np.ndarray]:
    if image not in cache:
        cache[image] = data.read(task, image)
    return cache[image]


class Fold(NamedTuple):
    """Which examples may support which cases."""

    support: tuple[Example, ...]
    cases: tuple[Case, ...]


def make_folds(
    data: Data, task: CorpusTask, *, seed: int, folds: int | None, targets: int | None, minimum_area: float
) -> list[Fold]:
    """Divide a task so that no subject is in a support set and a target of the same fold.

    Args:
        folds: None takes the splits that come with the data: support from train, cases from test. A number k deals
            the subjects of a dataset into k groups (at most as many as there are), each segmented with support from
            all others.
        targets: at most so many cases, at random; None for all.
        minimum_area: images and cases whose label covers less of the image are left out.

    Returns:
        The folds that have cases and support; none if the task has too few.

    Raises:
        InputError: no number of folds for data without splits.
    """
    if folds is None and not any(case.split for case in data.cases(task)):
        raise InputError(f"{task.dataset}: comes without splits into train and test; pass folds=5 to cross-validate")
    examples = [e for e in data.examples(task) if e.area >= minimum_area]
    cases = [c for c in data.cases(task) if c.area >= minimum_area]
    if folds is None:
        made = [Fold([e for e in examples if e.split == "train"], [c for c in cases if c.split == "test"])]
    else:
        subjects = sorted({c.subject for c in data.cases(task)})
        order = generator(seed, "folds", task.dataset).permutation(len(subjects))
        number = min(folds, len(subjects))
        group = {subjects[s]: place % number for place, s in enumerate(order)}
        made = [
            Fold([e for e in examples if group[e.subject] != k], [c for c in cases if group[c.subject] == k])
            for k in range(number)
        ]
    made = [fold for fold in made if fold.support and fold.cases]
    available = sorted(c.name for fold in made for c in fold.cases)
    order = generator(seed, "targets", task.name).permutation(len(available))
    chosen = {available[i] for i in order[:targets]}
    made = [Fold(tuple(fold.support), tuple(c for c in fold.cases if c.name in chosen)) for fold in made]
    return [fold for fold in made if fold.cases]
