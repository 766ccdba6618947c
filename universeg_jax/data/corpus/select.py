"""Choose the subjects, tasks and examples of a corpus that are trained on."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from universeg_jax.data.corpus.read import Corpus, CorpusTask, Example
from universeg_jax.errors import InputError

SPLITS = ("train", "validation", "test")


def split_subjects(subjects: Iterable[str], *, dataset: str) -> dict[str, str]:
    """The split of every subject: 60 % train, 20 % validation, 20 % test.

    The order is that of a hash of dataset and subject: the same on every machine, and unrelated to the names.
    With three subjects or more no split is empty; two are train and test.
    """
    ordered = sorted(set(subjects), key=lambda subject: hashlib.sha256(f"{dataset}/{subject}".encode()).digest())
    held_back = max(1, round(0.2 * len(ordered)))
    validation = held_back if len(ordered) >= 3 else 0
    test = held_back if len(ordered) >= 2 else 0
    train = len(ordered) - validation - test
    sizes = zip(SPLITS, (train, validation, test), strict=True)
    return dict(zip(ordered, (split for split, size in sizes for _ in range(size)), strict=True))


HELD_OUT = (
    # Those that the UniverSeg paper keeps unseen (table 1), and HC18, on which this library is demonstrated.
    *("*acdc*", "*dental*", "scd*", "*_scd*", "*stare*", "*spineweb*", "*wbc*", "*hc18*"),
    # Those that the shipped weights are measured on besides (experiments/small_sets.py), under the names used there.
    *("ms_btcv", "ms_camus", "ms_chaos", "ms_hipxray", "ms_oasis", "ms_octa500", "ms_paxray"),
    *("sa_ct_liver", "sa_leukocyte"),
)


def refuse_held_out(tasks: Iterable[CorpusTask], held_out: Collection[str]) -> None:
    """Raise if a task is of a held-out dataset.

    Args:
        held_out: names of datasets, in which * stands for anything; case does not matter.

    Raises:
        InputError: naming the datasets; one name instead of a tuple of names.
    """
    if isinstance(held_out, str):
        raise InputError(f"held_out={held_out!r}: pass a tuple of names, as in ({held_out!r},)")
    datasets = sorted({task.dataset for task in tasks})
    refused = [name for name in datasets if any(fnmatchcase(name.lower(), held.lower()) for held in held_out)]
    if refused:
        raise InputError(
            f"{', '.join(refused)}: held out, so never trained on (held_out is {', '.join(held_out)}); leave its tasks "
            "out, or pass held_out=() to train on it knowingly"
        )


def split_tasks(
    tasks: Iterable[CorpusTask], *, validation: float, training: float = 1.0, seed: int = 0
) -> tuple[list[CorpusTask], list[CorpusTask]]:
    """Tasks to train on, and tasks kept from training to validate on.

    A label of a dataset goes to one side with all its modalities and axes. Which side does not depend on the order of
    the tasks.

    Args:
        validation: the fraction to keep, of labels; at least one label is kept unless it is 0.
        training: the fraction of the other labels to train on; at least one.

    Raises:
        InputError: nothing would be left to train on.
    """
    tasks = list(tasks)
    labels = sorted({(task.dataset, task.label) for task in tasks}, key=lambda label: _hash(seed, *label))
    number = max(1, round(validation * len(labels))) if validation else 0
    if not (0 <= validation < 1 and number < len(labels)):
        raise InputError(
            f"validation={validation}: cannot be kept of {len(labels)} labels; pass a fraction that leaves some"
        )
    if not 0 < training <= 1:
        raise InputError(f"training={training}: it is a fraction of the labels, above 0, up to 1")
    kept, others = labels[:number], labels[number:]
    learned = others[: max(1, round(training * len(others)))]
    return tuple([task for task in tasks if (task.dataset, task.label) in some] for some in map(set, (learned, kept)))


@dataclass(frozen=True)
class TaskPool:
    """What the episodes of one task are drawn from.

    Attributes:
        targets: what may be the target.
        support: what may be in the support set, unless it shows the target.
        same_subject: whether other images of the target's subject may be in the support set.
    """

    targets: tuple[Example, ...]
    support: tuple[Example, ...]
    same_subject: bool

    def support_for(self, target: Example) -> list[Example]:
        """What may be in the support set of a target."""
        excluded = self._identity(target)
        return [example for example in self.support if self._identity(example) != excluded]

    def smallest_support(self) -> int:
        """How many examples may be in the support set of the target that has fewest; 0 without targets."""
        number = Counter(map(self._identity, self.support))
        return min((len(self.support) - number[self._identity(target)] for target in self.targets), default=0)

    def _identity(self, example: Example) -> int | str:
        return example.image if self.same_subject else example.subject


def make_pools(
    corpus: Corpus,
    tasks: Iterable[CorpusTask],
    *,
    split: str | None,
    support_split: str | None,
    minimum_area: float,
    same_subject: bool,
    minimum_support: int,
) -> tuple[dict[CorpusTask, TaskPool], dict[CorpusTask, str]]:
    """The pools of all tasks that have enough examples, and for each of the others why it has not.

    Args:
        split, support_split: where targets and support are from; None for all splits.
        minimum_area: examples whose label covers less of the image are left out.
        minimum_support: from how many examples, at least, the support set of each target must be drawn.

    Raises:
        InputError: an unknown split, a task that the corpus lacks, no task with enough examples.
    """
    for name, value in (("split", split), ("support_split", support_split)):
        if value not in (*SPLITS, None):
            raise InputError(f"{name}={value!r}: there are {', '.join(SPLITS)}, and None for all")
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
