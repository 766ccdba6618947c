"""Split the labelled examples of one folder, and draw episodes from them for training and validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.data.corpus.read import CorpusTask, Example
from universeg_jax.data.episodes.draw import Episode, Episodes, EpisodeSource
from universeg_jax.data.episodes.stream import Batches
from universeg_jax.errors import InputError
from universeg_jax.segment.support import Support
from universeg_jax.shapes import Array, Bool
from universeg_jax.train.config import Stage
from universeg_jax.train.data import own_batches

FEWEST = 5
"""Smallest number of subjects for fine-tuning."""

FEWEST_WITH_TEST = 10
"""Smallest number of subjects with which a test part is kept."""

LEAST = {"train": 2, "validation": 1, "test": 1}
"""Smallest number of subjects in each part that show a class. Training needs a target and one more example."""

SHARES = {True: {"train": 0.55, "validation": 0.2, "test": 0.25}, False: {"train": 0.67, "validation": 0.33}}
"""Share of the subjects in each part, with a test part and without."""

ATTEMPTS = 100
VALIDATED = (8, 24)  # episodes of a class: at least, at most


@dataclass(frozen=True)
class Split:
    """Indices of the examples in each part, ascending. The test part is empty if there are few examples."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()

    @property
    def measured(self) -> tuple[int, ...]:
        """Examples that are measured on: the test part, or the validation part if there is no test part."""
        return self.test or self.validation


def split_examples(
    shown: Bool[Array, "P S"], subjects: Sequence[str], *, classes: Sequence[str], seed: int = 0
) -> Split:
    """Split examples at random so that every part shows every class. A subject stays in one part.

    Classes are taken from the rarest to the most frequent. Each subject that shows the class goes to the part that
    lacks it most (Sechidis et al., ECML PKDD 2011).

    Args:
        shown: whether an example shows a class.
        subjects: subject of each example.
        classes: names of the classes, for messages.
        seed: seed of the random order.

    Raises:
        InputError: there are fewer than FEWEST subjects, or too few that show a class.
    """
    names = sorted(set(subjects))
    if len(names) < FEWEST:
        raise InputError(
            f"{len(names)} labelled examples of different subjects: fine-tuning needs {FEWEST} or more, some to learn "
            "from and some to decide when to stop; with fewer, show all of them to `universeg-jax predict` instead"
        )
    member = np.array([[subject == name for name in names] for subject in subjects])
    shows = shown.astype(int) @ member > 0
    least = sum(LEAST[part] for part in SHARES[False])
    for name, number in zip(classes, shows.sum(axis=1), strict=True):
        if number < least:
            raise InputError(
                f"the class {name} is shown by {number} of {len(names)} examples of different subjects: fine-tuning "
                f"needs {least} or more; label more of them, or take the class out of the masks"
            )
    with_test = len(names) >= FEWEST_WITH_TEST and shows.sum(axis=1).min() >= sum(LEAST.values())
    for attempt in range(ATTEMPTS):
        order = np.random.default_rng([seed, attempt]).permutation(len(names))
        parts = _deal(shows, order, SHARES[with_test])
        if all((shows[:, subjects].sum(axis=1) >= LEAST[part]).all() for part, subjects in parts.items()):
            rows = {part: member[:, subjects].any(axis=1).nonzero()[0].tolist() for part, subjects in parts.items()}
            return Split(**{part: tuple(indices) for part, indices in rows.items()})
    raise InputError(
        f"{len(names)} examples of different subjects cannot be split such that every part shows each of "
        f"{len(classes)} classes: label more examples of the rare classes, or take these out of the masks"
    )


def _deal(shows: np.ndarray, order: np.ndarray, shares: dict[str, float]) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {part: [] for part in shares}
    everything = np.ones((1, shows.shape[1]), bool)  # subjects that show no class come last
    for shown in [*shows[np.argsort(shows.sum(axis=1), kind="stable")], everything[0]]:
        wanted = {
            part: max(LEAST[part], share * shown.sum()) - shown[parts[part]].sum() for part, share in shares.items()
        }
        dealt = {subject for subjects in parts.values() for subject in subjects}
        for subject in (int(s) for s in order if shown[s] and s not in dealt):
            part = max(wanted, key=lambda part: wanted[part])
            parts[part].append(subject)
            wanted[part] -= 1
    return parts


class Examples:
    """Labelled examples as a corpus that `Episodes` draws from. Targets are its test split, support its train split.

    As in `Segmenter`, the support of a binary task may hold empty masks. With several classes it holds only examples
    that show the class.

    Args:
        prepared: all examples, as the segmenter prepares them.
        tasks: one task for each binary problem.
        subjects: subject of each example.
        targets, support: indices of the examples.
        absent: also use targets that do not show their class, at most about a third as many as those that do.

    Attributes:
        tasks: the given tasks.
    """

    def __init__(
        self,
        prepared: Support,
        tasks: Sequence[CorpusTask],
        subjects: Sequence[str],
        *,
        targets: Sequence[int],
        support: Sequence[int],
        absent: bool,
    ):
        self.tasks = tuple(tasks)
        self._prepared = prepared
        self._splits: dict[tuple[CorpusTask, str], tuple[Example, ...]] = {}
        for task, shown, counts in zip(self.tasks, prepared.shown, prepared.mask, strict=True):
            showing = [i for i in targets if shown[i]]
            others = [i for i in targets if absent and not shown[i]]
            others = others[:: -(-3 * len(others) // len(showing)) or 1]
            for split, indices in (("test", showing + others), ("train", [i for i in support if counts[i]])):
                self._splits[task, split] = tuple(Example(i, subjects[i], split, 1.0) for i in indices)

    def examples(self, task: CorpusTask, split: str | None = None, *, minimum_area: float = 0.0) -> tuple[Example, ...]:
        """Return the examples of a task in a split, or in both, whatever their area."""
        splits = ("test", "train") if split is None else (split,)
        return tuple(example for name in splits for example in self._splits[task, name])

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and label map of one example, (H,W,1) float32 in [0,1]."""
        return self._prepared.images[image], self._prepared.labels[self.tasks.index(task), image]


class ExampleData:
    """Episodes from the examples of one folder, with the methods of `TrainingData`.

    Args:
        prepared, tasks, subjects: as in `Examples`.
        split: indices of the examples in each part.
        seed: seed of the episodes.
    """

    def __init__(
        self, prepared: Support, tasks: Sequence[CorpusTask], subjects: Sequence[str], split: Split, *, seed: int
    ):
        self._seed, self._tasks = seed, tuple(tasks)
        support = split.train
        self._train = Examples(prepared, tasks, subjects, targets=split.train, support=support, absent=True)
        self._validation = Examples(prepared, tasks, subjects, targets=split.validation, support=support, absent=False)

    def source(self, stage: Stage) -> EpisodeSource:
        """Return the training episodes of a stage. Each class is a task."""
        return self._episodes(self._train, self._tasks, stage.support_size)

    def batches(self, stage: Stage, *, start: int) -> Batches:
        """Iterate over the batches of a stage from batch `start`, with the share of this process."""
        return own_batches(self.source(stage), stage, start=start)

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        """Return episodes of each task: targets of the validation part, with support from the train part."""
        found = {}
        for task in self._tasks:
            episodes = self._episodes(self._validation, [task], stage.support_sizes[1])
            targets = len(self._validation.examples(task, "test"))
            number = min(-(-VALIDATED[0] // targets) * targets, VALIDATED[1])  # each target equally often
            found[task] = [episodes[i] for i in range(number)]
        return found

    def _episodes(
        self, examples: Examples, tasks: Sequence[CorpusTask], support_size: int | tuple[int, int]
    ) -> Episodes:
        return Episodes(examples, tasks=tasks, seed=self._seed, support_size=support_size, split="test", minimum_area=0)
