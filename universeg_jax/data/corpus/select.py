"""Choose subjects, tasks and examples of a corpus for training."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from universeg_jax.data.corpus.read import CorpusTask, Example, LabelledImages
from universeg_jax.data.readers.source import Item
from universeg_jax.errors import InputError

SPLITS = ("train", "validation", "test")


def split_subjects(subjects: Iterable[str], *, dataset: str) -> dict[str, str]:
    """Assign every subject to a split: 60 % train, 20 % validation, 20 % test.

    Subjects are sorted by a hash of dataset and subject, so the result is the same on every machine. Three subjects or
    more fill all splits; two subjects fill train and test.
    """
    ordered = sorted(set(subjects), key=lambda subject: hashlib.sha256(f"{dataset}/{subject}".encode()).digest())
    held_back = max(1, round(0.2 * len(ordered)))
    validation = held_back if len(ordered) >= 3 else 0
    test = held_back if len(ordered) >= 2 else 0
    train = len(ordered) - validation - test
    sizes = zip(SPLITS, (train, validation, test), strict=True)
    return dict(zip(ordered, (split for split, size in sizes for _ in range(size)), strict=True))


def split_items(items: Iterable[Item], *, dataset: str) -> dict[str, str]:
    """Find the split of every subject: the dataset's own split where it has one, else by `split_subjects`.

    Raises:
        InputError: splits that are not known for all items, or a subject in two splits.
    """
    items = list(items)
    if not any(item.split for item in items):
        return split_subjects((item.subject for item in items), dataset=dataset)
    splits: dict[str, str] = {}
    for item in items:
        if item.split not in SPLITS:
            raise InputError(f"{dataset}: {item.name} has the split {item.split!r}; it must be one of {SPLITS}")
        if splits.setdefault(item.subject, item.split) != item.split:
            raise InputError(f"{dataset}: the subject {item.subject} is in {splits[item.subject]} and in {item.split}")
    return splits


def refuse_held_out(tasks: Iterable[CorpusTask], held_out: Collection[str]) -> None:
    """Check that no task belongs to a held-out dataset.

    Args:
        held_out: names of datasets, in which * stands for anything; case does not matter.

    Raises:
        InputError: a task belongs to one, with the names of the datasets; or `held_out` is a single name.
    """
    if isinstance(held_out, str):
        raise InputError(f"held_out={held_out!r}: pass a tuple of names, as in ({held_out!r},)")
    datasets = sorted({task.dataset for task in tasks})
    refused = [name for name in datasets if any(fnmatchcase(name.lower(), held.lower()) for held in held_out)]
    if refused:
        raise InputError(
            f"{', '.join(refused)}: held out from training (held_out is {', '.join(held_out)}); leave its tasks out, "
            "or pass held_out=() to train on it knowingly"
        )


def split_tasks(
    tasks: Iterable[CorpusTask], *, validation: float, training: float = 1.0, seed: int = 0
) -> tuple[list[CorpusTask], list[CorpusTask]]:
    """Divide tasks into training tasks and validation tasks.

    A label of a dataset stays on one side with all its modalities and axes. The order of the tasks has no effect.

    Args:
        tasks: to divide.
        validation: fraction of the labels for validation; at least one label unless it is 0.
        training: fraction of the other labels for training; at least one label.
        seed: seed of the choice.

    Raises:
        InputError: no label would be left for training.
    """
    tasks = list(tasks)
    labels = sorted({(task.dataset, task.label) for task in tasks}, key=lambda label: _hash(seed, *label))
    number = max(1, round(validation * len(labels))) if validation else 0
    if not (0 <= validation < 1 and number < len(labels)):
        raise InputError(
            f"validation={validation}: pass a fraction from 0 that leaves some of {len(labels)} labels for training"
        )
    if not 0 < training <= 1:
        raise InputError(f"training={training}: pass a fraction of the labels, above 0 and at most 1")
    kept, others = labels[:number], labels[number:]
    learned = others[: max(1, round(training * len(others)))]
    training_tasks, validation_tasks = (
        [task for task in tasks if (task.dataset, task.label) in some] for some in map(set, (learned, kept))
    )
    return training_tasks, validation_tasks


@dataclass(frozen=True)
class TaskPool:
    """Examples that the episodes of one task are drawn from.

    Attributes:
        targets: candidates for the target.
        support: candidates for the support set.
        same_subject: whether the support set may hold other images of the target's subject.
    """

    targets: tuple[Example, ...]
    support: tuple[Example, ...]
    same_subject: bool

    def support_for(self, target: Example) -> list[Example]:
        """Return the candidates for the support set of one target."""
        excluded = self._identity(target)
        return [example for example in self.support if self._identity(example) != excluded]

    def smallest_support(self) -> int:
        """Return the fewest candidates that any target has for its support set; 0 without targets."""
        number = Counter(map(self._identity, self.support))
        return min((len(self.support) - number[self._identity(target)] for target in self.targets), default=0)

    def _identity(self, example: Example) -> int | str:
        return example.image if self.same_subject else example.subject


def make_pools(
    corpus: LabelledImages,
    tasks: Iterable[CorpusTask],
    *,
    split: str | None,
    support_split: str | None,
    minimum_area: float,
    same_subject: bool,
    minimum_support: int,
) -> tuple[dict[CorpusTask, TaskPool], dict[CorpusTask, str]]:
    """Make the pools of all tasks that have enough examples.

    Args:
        corpus: holds the examples.
        tasks: to make pools of.
        split, support_split: splits of targets and support; None for all.
        minimum_area: smallest area of the label, as a fraction of the image.
        same_subject: as in `TaskPool`.
        minimum_support: smallest number of candidates for the support set of each target.

    Returns:
        The pools; and the reason for each task without a pool.

    Raises:
        InputError: a split is unknown, the corpus lacks a task, or no task has enough examples.
    """
    for name, value in (("split", split), ("support_split", support_split)):
        if value not in (*SPLITS, None):
            raise InputError(f"{name}={value!r}: pass {', '.join(SPLITS)}, or None for all")
    pools: dict[CorpusTask, TaskPool] = {}
    left_out: dict[CorpusTask, str] = {}
    for task in tasks:
        targets, support = (corpus.examples(task, part, minimum_area=minimum_area) for part in (split, support_split))
        pool = TaskPool(targets, support, same_subject)
        if (smallest := pool.smallest_support()) >= minimum_support:
            pools[task] = pool
        elif targets:
            left_out[task] = (
                f"a target in {split or 'all splits'} has {smallest} examples in {support_split or 'all splits'} "
                "to be its support"
            )
        else:
            left_out[task] = f"no targets in {split or 'all splits'}"
    if not pools:
        first = next((f"; {task.name}: {reason}" for task, reason in left_out.items()), "")
        raise InputError(
            f"none of {len(left_out)} tasks has targets, each with {minimum_support} or more examples for its support, "
            f"that cover {minimum_area} of the image or more{first}"
        )
    return pools, left_out


def _hash(*key) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()
