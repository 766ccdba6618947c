"""Corpora in memory; the pixels of an image show its number."""

from collections.abc import Mapping, Sequence

import numpy as np

from universeg_jax.data.corpus.read import CorpusTask, Example

SIZE = 4


class ArrayCorpus:
    """A corpus of images i with all pixels i/1000; label maps are 0.25 in the upper half, 0.75 in the lower."""

    def __init__(self, examples: Mapping[CorpusTask, Sequence[Example]]):
        self._examples = {task: tuple(examples[task]) for task in sorted(examples, key=lambda task: task.name)}
        self.tasks = tuple(self._examples)

    def examples(self, task, split=None, *, minimum_area=0.0):
        return tuple(e for e in self._examples[task] if split in (None, e.split) and e.area >= minimum_area)

    def read(self, task, image):
        label = np.full((SIZE, SIZE, 1), 0.25, np.float32)
        label[SIZE // 2 :] = 0.75
        return np.full((SIZE, SIZE, 1), image / 1000, np.float32), label


class DiscCorpus(ArrayCorpus):
    """A corpus of images i with a bright disc and a square on textured ground, both placed by i."""

    SIZE = 64

    def read(self, task, image):
        rows, columns = np.indices((self.SIZE, self.SIZE))
        noise = 0.02 * np.random.default_rng(image).normal(size=(self.SIZE, self.SIZE))
        disc = np.hypot(rows - 18, columns - 20 - 2 * image) < 10
        square = (abs(rows - 46) < 7) & (abs(columns - 30 - 2 * image) < 7)
        pixels = np.clip(0.3 + noise + 0.5 * disc + 0.25 * square, 0, 1)
        return pixels.astype(np.float32)[..., None], disc.astype(np.float32)[..., None]


def examples(train: int, validation: int = 0, test: int = 0, *, per_subject: int = 1, area: float = 0.1):
    """Make examples in three splits, with the images of a subject in a row."""
    splits = ["train"] * train + ["validation"] * validation + ["test"] * test
    return [Example(i, f"{split}-{i // per_subject}", split, area) for i, split in enumerate(splits)]


def small_corpus() -> ArrayCorpus:
    """Make three datasets: one of a single task, one of two modalities and axes, one of three labels."""
    names = ["brain/MR/axial/1", "heart/CT/axial/1", "heart/MR/axial/1", "heart/MR/sagittal/1"]
    names += ["skin/image/2d/1", "skin/image/2d/2", "skin/image/2d/3"]
    return ArrayCorpus({CorpusTask(*name.split("/")): examples(5 + i, 2, 2) for i, name in enumerate(names)})
