"""Episodes: a target image of some task, and labelled examples of the same task to learn it from.

A source of episodes gives any of them by its number, without those before it. So a stream of them can be split over
hosts and worker processes, stopped, and taken up anywhere, and stays the same stream (see `stream.py`).
"""

import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from universeg_jax.data.corpus.read import Corpus, CorpusTask, Example
from universeg_jax.data.corpus.select import HELD_OUT, make_pools, refuse_held_out
from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Bool, Float, Int
from universeg_jax.util.random import generator

NUMBER = np.iinfo(np.int32).max  # of episodes in a source: as many as an int32 counts, so without end


class Episode(NamedTuple):
    """A target and its support set; or a batch of such, where *B is (B,).

    Images and label maps are float32 in [0,1]. The support of an episode is its first entries, where `support_mask`
    is True; the rest is zeros.

    Attributes:
        task: index into the `tasks` of the source.
        number: of the episode in the source. A random key made from it gives the same augmentation on any number of
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
    """Episodes by number, each the same whenever it is asked for.

    Attributes:
        tasks: the tasks that episodes are of.
    """

    tasks: tuple[CorpusTask, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Episode: ...


def checked_number(number: int) -> int:
    """The number of an episode.

    Raises:
        IndexError: a negative one, or one beyond `NUMBER`.
    """
    number = operator.index(number)
    if not 0 <= number < NUMBER:
        raise IndexError(f"episodes are numbered from 0 to {NUMBER - 1}, not {number}")
    return number


@dataclass(frozen=True)
class Draw:
    """Which examples an episode is made of. The support may hold one several times.

    Attributes:
        joined: other labels of the same images that its label is joined by.
    """

    task: CorpusTask
    target: Example
    support: tuple[Example, ...]
    joined: tuple[CorpusTask, ...] = ()


class Episodes:
    """Episodes of the tasks of a corpus, sampled as the UniverSeg paper does.

    Uniform at each level: dataset, modality, axis, label, target. Choices are dealt like cards: of any level, all are
    dealt once, in random order, before one is dealt again. So targets are drawn without replacement in an epoch of
    their task, and a batch mixes as many datasets as it can. The support is drawn with replacement.

    Args:
        corpus: a `Corpus`, or what has `tasks`, `examples` and `read` like one.
        seed: episodes are a function of corpus, options, seed and number.
        support_size: entries in the support set; a pair (low, high) draws their number, for each episode, uniformly.
        split: where targets are from; None for all splits, to learn from every image of a corpus on which nothing is
            tested.
        support_split: where the support is from, or None; as in the paper, the train split for targets of all splits.
        tasks: only these, all by default.
        held_out: names of datasets, in which * stands for anything, that are refused as targets of the train split
            or of all.
        minimum_area: examples whose label covers less of the image are left out; by default 16 pixels of 128x128.
        minimum_support: tasks whose support is drawn from fewer examples are left out.
        same_subject: let the support hold other images of the target's subject, as the paper does; the target itself
            is never among them. Where subjects are unknown each image counts as one.
        unions: share of the episodes, from 0 to 1, whose label is joined by others of its dataset, modality and axis,
            each of them by even chance: new structures, such as a ventricle with its wall, out of the same
            annotations. Datasets of a single label have none.
        label_threshold: binarise label maps: 1 where they reach it, else 0. By default they stay soft.

    Attributes:
        tasks: those that are sampled.
        left_out: those with too few examples, and why.

    Raises:
        InputError: an option out of range, a task that the corpus lacks, a held-out dataset, no task with enough
            examples.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int,
        support_size: int | tuple[int, int] = 64,
        split: str | None = "train",
        support_split: str | None = "train",
        tasks: Iterable[CorpusTask] | None = None,
        held_out: Collection[str] = HELD_OUT,
        minimum_area: float = 0.001,
        minimum_support: int = 1,
        same_subject: bool = False,
        unions: float = 0.0,
        label_threshold: float | None = None,
    ):
        low, high = (support_size, support_size) if isinstance(support_size, int) else support_size
        if not 1 <= low <= high:
            raise InputError(f"support_size={support_size}: pass a number from 1, or a pair (low, high) of such")
        if not 0 <= minimum_area < 1:
            raise InputError(f"minimum_area={minimum_area}: it is a fraction of the image, from 0 to below 1")
        if minimum_support < 1:
            raise InputError(f"minimum_support={minimum_support}: pass 1 or more")
        if not 0 <= unions <= 1:
            raise InputError(f"unions={unions}: it is a share of the episodes, from 0 to 1")
        if label_threshold is not None and not 0 < label_threshold <= 1:
            raise InputError(
                f"label_threshold={label_threshold}: labels are in [0,1]; pass 0.5, or None for soft labels"
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
        self._tree: dict = {}
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
            *support,
            support_mask=np.arange(most) < size,
            task=self._ids[draw.task],
            number=np.int32(number),
        )

    def draw(self, number: int) -> Draw:
        """Which examples an episode is made of, without reading them."""
        number = checked_number(number)
        options, turn, path = self._tree, number, ()
        for _ in ("dataset", "modality", "axis", "label"):
            name, turn = self._deal(tuple(options), turn, *path)
            siblings, options, path = options, options[name], (*path, name)
        task = options
        pool = self._pools[task]
        target, _ = self._deal(pool.targets, turn, *path)
        generator = self._generator("support", number)
        low, high = self._sizes
        candidates = pool.support_for(target)
        chosen = generator.integers(len(candidates), size=generator.integers(low, high + 1))
        others = [other for other in siblings.values() if other != task]
        return Draw(task, target, tuple(candidates[i] for i in chosen), self._joined(others, number))

    def _joined(self, others: Sequence[CorpusTask], number: int) -> tuple[CorpusTask, ...]:
        """Which of the other labels of a dataset join the label of an episode."""
        generator = self._generator("union", number)
        if generator.random() >= self._unions:
            return ()
        return tuple(other for other in others if generator.random() < 0.5)

    def _deal(self, options: Sequence, turn: int, *path: str):
        """The option that it is the turn of, and how often it had its turn before.

        That count needs no history: in every round each option has its turn once.
        """
        rounds, place = divmod(turn, len(options))
        order = self._generator("round", *path, rounds).permutation(len(options))
        return options[order[place]], rounds

    def _generator(self, *key: str | int) -> np.random.Generator:
        return generator(self._seed, *key)

    def _read(self, draw: Draw, image: int) -> tuple[np.ndarray, np.ndarray]:
        pixels, label = self._corpus.read(draw.task, image)
        for other in draw.joined:
            label = np.minimum(label + self._corpus.read(other, image)[1], 1)
        if self._label_threshold is not None:
            label = (label >= self._label_threshold).astype(np.float32)
        return pixels, label
