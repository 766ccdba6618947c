"""Draw episodes: a target image of some task, and labelled examples of the same task.

A source returns any episode by its number, without the ones before it. So a stream of episodes stays the same if it is
split over hosts and processes, or stopped and resumed (see `stream.py`).
"""

import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from universeg_jax.data.corpus.read import CorpusTask, Example, LabelledImages
from universeg_jax.data.corpus.select import make_pools, refuse_held_out
from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Bool, Float, Int
from universeg_jax.util.checks import check_number
from universeg_jax.util.random import generator

NUMBER = np.iinfo(np.int32).max  # episodes in a source: practically without end


class Episode(NamedTuple):
    """A target with its support set; or a batch of them, where *B is (B,).

    Images and label maps are float32 in [0,1]. The support consists of the first entries, where `support_mask` is True;
    other entries are zero.

    Attributes:
        target, target_label: image and label map of the target.
        support_images, support_labels: images and label maps of the S entries.
        support_mask: True for entries of the support.
        task: index into the `tasks` of the source.
        number: number of the episode in the source. Augmentation depends on it, so it is the same on any number of
            hosts.
    """

    target: Float[Array, "*B H W 1"]
    target_label: Float[Array, "*B H W 1"]
    support_images: Float[Array, "*B S H W 1"]
    support_labels: Float[Array, "*B S H W 1"]
    support_mask: Bool[Array, "*B S"]
    task: Int[Array, "*B"]
    number: Int[Array, "*B"]


class EpisodeSource(Protocol):
    """Episodes by number. The same number always returns the same episode.

    Attributes:
        tasks: tasks of the episodes.
    """

    @property
    def tasks(self) -> tuple[CorpusTask, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Episode: ...


def checked_number(number: int) -> int:
    """Check the number of an episode, and return it as int.

    Raises:
        IndexError: the number is negative or not below `NUMBER`.
    """
    number = operator.index(number)
    if not 0 <= number < NUMBER:
        raise IndexError(f"episodes are numbered from 0 to {NUMBER - 1}, not {number}")
    return number


@dataclass(frozen=True)
class Draw:
    """Examples of an episode. The support may hold an example several times.

    Attributes:
        task: task of the episode.
        target: its target.
        support: entries of its support set.
        joined: other labels of the same images that are joined with its label.
    """

    task: CorpusTask
    target: Example
    support: tuple[Example, ...]
    joined: tuple[CorpusTask, ...] = ()


class Episodes:
    """Episodes of the tasks of a corpus, sampled as in the UniverSeg paper.

    Sampling is uniform at each level: dataset, modality, axis, label, target. At each level all choices are taken once,
    in random order, before one is taken again. Targets are drawn without replacement within an epoch of their task.
    The support is drawn with replacement.

    Args:
        corpus: a `Corpus`, or other labelled images.
        seed: episodes are a function of corpus, options, seed and number.
        support_size: entries in the support set; a pair (low, high) draws the number uniformly for each episode.
        split: split of the targets; None for all, if nothing is tested on the corpus.
        support_split: split of the support, or None for all; the train split in the paper.
        tasks: tasks to sample; all by default.
        held_out: names of datasets that are refused as training targets; * stands for anything.
        minimum_area: smallest area of a label, as a fraction of the image; 16 pixels of 128x128 by default.
        minimum_support: smallest number of candidates for the support of a task.
        same_subject: let the support hold other images of the target's subject, as in the paper. Each image counts as a
            subject if subjects are unknown.
        unions: share of the episodes whose label is joined with others of its dataset, modality and axis, from 0 to 1.
            Each other label joins with probability 1/2. The result is a new structure, such as a ventricle with its
            wall.
        label_threshold: value from which label maps become 1, and 0 below; None keeps them soft.

    Attributes:
        tasks: sampled tasks.
        left_out: tasks with too few examples, and the reason.

    Raises:
        InputError: an option is out of range, the corpus lacks a task, a dataset is held out, or no task has enough
            examples.
    """

    def __init__(
        self,
        corpus: LabelledImages,
        *,
        seed: int,
        support_size: int | tuple[int, int] = 64,
        split: str | None = "train",
        support_split: str | None = "train",
        tasks: Iterable[CorpusTask] | None = None,
        held_out: Collection[str] = (),
        minimum_area: float = 0.001,
        minimum_support: int = 1,
        same_subject: bool = False,
        unions: float = 0.0,
        label_threshold: float | None = None,
    ):
        low, high = (support_size, support_size) if isinstance(support_size, int) else support_size
        if not 1 <= low <= high:
            raise InputError(f"support_size={support_size}: pass a number from 1, or a pair (low, high)")
        check_number("minimum_area", minimum_area, least=0, below=1)
        check_number("minimum_support", minimum_support, least=1, whole=True)
        if not 0 <= unions <= 1:
            raise InputError(f"unions={unions}: pass a share of the episodes, from 0 to 1")
        if label_threshold is not None and not 0 < label_threshold <= 1:
            raise InputError(
                f"label_threshold={label_threshold}: pass a value above 0 up to 1, such as 0.5, or None for soft labels"
            )
        tasks = corpus.tasks if tasks is None else tuple(tasks)
        if split in ("train", None):
            refuse_held_out(tasks, held_out)
        self._pools, self.left_out = make_pools(
            corpus,
            tasks,
            split=split,
            support_split=support_split,
            minimum_area=minimum_area,
            same_subject=same_subject,
            minimum_support=minimum_support,
        )
        self.tasks = tuple(self._pools)
        self._ids = {task: np.int32(i) for i, task in enumerate(self.tasks)}
        self._corpus, self._seed = corpus, operator.index(seed)
        self._sizes, self._unions, self._label_threshold = (low, high), unions, label_threshold
        self._tree: dict[str, Any] = {}
        for task in self.tasks:
            labels = self._tree.setdefault(task.dataset, {}).setdefault(task.modality, {}).setdefault(task.axis, {})
            labels[task.label] = task

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, number: int) -> Episode:
        draw = self.draw(number)
        images = {example.image for example in (draw.target, *draw.support)}
        pairs = {image: self._read(draw, image) for image in images}
        target, target_label = pairs[draw.target.image]
        size, most = len(draw.support), self._sizes[1]
        support = np.zeros((2, most, *target.shape), np.float32)
        for i, example in enumerate(draw.support):
            support[:, i] = pairs[example.image]
        return Episode(
            target,
            target_label,
            support_images=support[0],
            support_labels=support[1],
            support_mask=np.arange(most) < size,
            task=self._ids[draw.task],
            number=np.int32(number),
        )

    def draw(self, number: int) -> Draw:
        """Draw the target and the support set of an episode, without reading images."""
        number = checked_number(number)
        options: Any = self._tree
        turn, path = number, cast(tuple[str, ...], ())
        for _ in ("dataset", "modality", "axis", "label"):
            name, turn = self._deal(tuple(options), turn, *path)
            siblings, options, path = options, options[name], (*path, name)
        task = options
        pool = self._pools[task]
        target, _ = self._deal(pool.targets, turn, *path)
        rng = generator(self._seed, "support", number)
        low, high = self._sizes
        candidates = pool.support_for(target)
        chosen = rng.integers(len(candidates), size=rng.integers(low, high + 1))
        others = [other for other in siblings.values() if other != task]
        return Draw(task, target, tuple(candidates[i] for i in chosen), self._joined(others, number))

    def _joined(self, others: Sequence[CorpusTask], number: int) -> tuple[CorpusTask, ...]:
        """Draw the other labels that join the label of an episode."""
        rng = generator(self._seed, "union", number)
        if rng.random() >= self._unions:
            return ()
        return tuple(other for other in others if rng.random() < 0.5)

    def _deal(self, options: Sequence, turn: int, *path: str):
        """Return the option at a turn, and the number of its earlier turns.

        The number needs no history, because every option has one turn in every round.
        """
        rounds, place = divmod(turn, len(options))
        order = generator(self._seed, "round", *path, rounds).permutation(len(options))
        return options[order[place]], rounds

    def _read(self, draw: Draw, image: int) -> tuple[np.ndarray, np.ndarray]:
        pixels, label = self._corpus.read(draw.task, image)
        for other in draw.joined:
            label = np.minimum(label + self._corpus.read(other, image)[1], 1)
        if self._label_threshold is not None:
            label = (label >= self._label_threshold).astype(np.float32)
        return pixels, label
