"""Small data in memory, and a method quick enough to be run a hundred times."""

from dataclasses import dataclass

import numpy as np

from universeg_jax.data.corpus.read import CorpusTask, Example
from universeg_jax.evaluate.data import Case

SIZE = 16


@dataclass
class Discs:
    """Data of bright discs on dark ground: `number` images of each task, `per_subject` of each subject, 60/20/20."""

    names: tuple[str, ...] = ("cells/image/2d/a", "cells/image/2d/b", "skin/image/2d/c")
    number: int = 20
    per_subject: int = 2
    split: bool = True
    volumes: bool = False

    def __post_init__(self):
        self.tasks = tuple(CorpusTask(*name.split("/")) for name in self.names)
        self.reads: list[tuple[str, int]] = []

    def examples(self, task):
        return tuple(Example(i, self._subject(i), self._split(i), self.read(task, i)[1].mean()) for i in self._all())

    def cases(self, task):
        if self.volumes:
            groups = [range(i, i + self.per_subject) for i in range(0, self.number, self.per_subject)]
            return tuple(
                Case(f"v{g[0]}", self._subject(g[0]), self._split(g[0]), tuple(g), 0.1, (2.0, 1.0, 1.0)) for g in groups
            )
        return tuple(Case(f"{e.image}", e.subject, e.split, (e.image,), e.area) for e in self.examples(task))

    def read(self, task, image):
        self.reads.append((task.name, image))
        rng = np.random.default_rng([image, self.tasks.index(task)])
        y, x = np.mgrid[:SIZE, :SIZE]
        inside = (y - rng.uniform(5, 11)) ** 2 + (x - rng.uniform(5, 11)) ** 2 < rng.uniform(9, 16)
        noisy = np.clip(0.2 + 0.5 * inside + 0.15 * rng.standard_normal((SIZE, SIZE)), 0, 1)
        return noisy[..., None].astype(np.float32), inside[..., None].astype(np.float32)

    def name(self, image):
        return f"{image}"

    def subjects_known(self, dataset):
        return dataset == "cells"

    def fingerprint(self, dataset):
        return f"discs-{dataset}"

    def _all(self):
        return range(self.number)

    def _subject(self, image):
        return f"s{image // self.per_subject}"

    def _split(self, image):
        if not self.split:
            return ""
        return "train" if image < 0.6 * self.number else "validation" if image < 0.8 * self.number else "test"


class Threshold:
    """A method that finds pixels brighter than the middle between foreground and background of the support."""

    name, identity = "threshold", "threshold 1"

    def __init__(self):
        self.calls: list[tuple[int, int, int]] = []

    def predict(self, rng, pool, support_size, targets):
        self.calls.append((len(pool), support_size, len(targets)))
        images, labels = pool.first(support_size)
        middle = (images[labels > 0.5].mean() + images[labels <= 0.5].mean()) / 2
        return 1 / (1 + np.exp(-20 * (targets - middle)))
