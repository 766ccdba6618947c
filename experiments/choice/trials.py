"""Tasks, targets and nested support sets that every method is measured on."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from universeg_jax.data.corpus.read import Corpus, CorpusTask, Example
from universeg_jax.util.random import generator

SMALLEST = 0.002  # fraction of the image that a label covers at least
SHAPE = dict(targets=8, draws=2, most=32, fewest=2)  # of the trials on sets that choices are made on
DISJOINT = 16  # examples at the start of each draw that no other draw starts with, as far as there are images
FEWEST_SUBJECTS = 6  # below which a prefix of the name is not taken for a subject


@dataclass(frozen=True)
class Trial:
    """One task: images to segment, and one order of labelled examples for each draw.

    Attributes:
        targets: indices of images.
        draws: of each draw the indices of labelled images; its first n are the support set of size n.
    """

    task: CorpusTask
    targets: tuple[int, ...]
    draws: tuple[tuple[int, ...], ...]

    @property
    def images(self) -> list[int]:
        """Every image of the trial, once."""
        return sorted({*self.targets, *(image for draw in self.draws for image in draw)})


def make_trials(
    corpus: Corpus, *, targets: int, draws: int, most: int, fewest: int, tasks_of_dataset: int = 1
) -> Iterator[Trial]:
    """Draw trials of a corpus, such that no subject is in a support set and a target.

    Names tell subjects where they begin with one (`subjects`); otherwise every image counts as a subject.

    Args:
        targets: images to segment in each trial, at most a third of the task's, but two at least.
        draws: support sets of each trial; their first 16 are disjoint as far as there are images.
        most: examples in the largest support set.
        fewest: examples that a task must have for a support set.
        tasks_of_dataset: tasks of each dataset, those with most examples first.
    """
    for dataset in corpus.datasets:
        candidates = [task for task in corpus.tasks if task.dataset == dataset]
        candidates.sort(key=lambda task: (-len(corpus.examples(task, minimum_area=SMALLEST)), task.name))
        for task in candidates[:tasks_of_dataset]:
            trial = _trial(corpus, task, targets, draws, most, fewest)
            if trial is not None:
                yield trial


def _trial(corpus: Corpus, task: CorpusTask, targets: int, draws: int, most: int, fewest: int) -> Trial | None:
    examples = corpus.examples(task, minimum_area=SMALLEST)
    order = generator(0, task.dataset).permutation(1 + max(example.image for example in examples)).tolist()
    place = {image: i for i, image in enumerate(order)}
    ordered = sorted(examples, key=lambda example: place[example.image])
    subject = dict(zip((example.image for example in ordered), subjects(ordered), strict=True))
    targets = min(targets, max(2, len(ordered) // 3))
    taken, seen = [], set()
    for example in ordered:  # targets of as many subjects as possible
        if subject[example.image] not in seen and len(taken) < targets:
            taken.append(example.image)
            seen.add(subject[example.image])
    rest = [example.image for example in ordered if subject[example.image] not in seen]
    if len(rest) < fewest or len(taken) < 2:
        return None
    first = min(most, DISJOINT)
    step = min(first, max(0, len(rest) - first) // max(1, draws - 1)) if draws > 1 else 0
    if len(rest) < 2 * first:  # too few for disjoint draws: other orders of the same images
        orders = [generator(i, task.dataset, "draw").permutation(rest).tolist() for i in range(draws)]
    else:
        orders = [rest[i * step :] for i in range(draws)]
    return Trial(task, tuple(taken), tuple(tuple(own[:most]) for own in orders))


def subjects(examples: Sequence[Example]) -> list[str]:
    """The subject of each example: the name up to the first "_" or "#", where that leaves enough different ones."""
    prefixes = [re.split(r"[_#]", example.subject)[0] for example in examples]
    own = [example.subject for example in examples]
    return prefixes if len(set(prefixes)) >= FEWEST_SUBJECTS else own


def maps_file(folder: Path, trial: Trial, draw: int, model: str) -> Path:
    """Return the file of `experiments.choice.measure` for a draw of a task."""
    name = re.sub(r"[^\w]+", "_", trial.task.name)
    return folder / f"{name}-{draw}-{model}.npz"


def read(corpus: Corpus, task: CorpusTask, images: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images (H,W) float32 in [0,1] and labels (H,W) bool."""
    pairs = [corpus.read(task, image) for image in images]
    return [image[..., 0] for image, _ in pairs], [label[..., 0] >= 0.5 for _, label in pairs]
