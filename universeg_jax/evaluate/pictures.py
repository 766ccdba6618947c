"""The best, the middle and the worst predictions of every task, as pictures."""

from collections.abc import Sequence

import numpy as np

from universeg_jax.evaluate.data import Data, Fold
from universeg_jax.evaluate.methods import Method
from universeg_jax.evaluate.protocol import Protocol, TaskRun
from universeg_jax.evaluate.records import Record
from universeg_jax.segment.picture import SUPPORT_SHOWN, Example, Result, Section
from universeg_jax.tasks.task import Task

OF_EACH = 4
FOREGROUND = 1


def make_section(
    data: Data, task: Task, folds: Sequence[Fold], method: Method, record: Record, protocol: Protocol
) -> Section:
    """Segment the best, middle and worst cases of a record again, and lay them out for `write_overview`.

    Of a volume, the slice is shown where the structure is largest.
    """
    chosen = choose(record.scores[:, 0].tolist())
    wanted = {record.cases[i]: (what, record.scores[i, 0]) for i, what in chosen}
    # Only the chosen cases; what is drawn depends on the number of the fold, so all folds keep their place.
    folds = [Fold(support, tuple(c for c in cases if c.name in wanted)) for support, cases in folds]
    of_task = TaskRun(data, task, folds, protocol)
    results = {}
    for number, fold in enumerate(folds):
        if not fold.cases:
            continue
        probabilities, _ = of_task.predict(method, record.key, number)
        for case, probability in zip(fold.cases, probabilities, strict=True):
            images, labels = of_task.read(case)
            shown = int(labels.sum((1, 2, 3)).argmax())
            what, dice = wanted[case.name]
            results[case.name] = Result(
                f"{what}: {case.name}",
                images[shown, ..., 0],
                (probability[shown] > protocol.threshold).astype(np.int32),
                (labels[shown, ..., 0] >= 0.5).astype(np.int32),
                float(dice),
            )
    first = next(number for number, fold in enumerate(folds) if fold.cases)
    pool = of_task.pool(record.key, first)
    shown = min(SUPPORT_SHOWN, record.shown)
    examples = [
        Example(f"{example.image:06d}", image[..., 0], (label[..., 0] >= 0.5).astype(np.int32))
        for example, image, label in zip(pool.examples, *pool.first(shown), strict=False)
    ]
    note = (
        f"{record.shown} labelled examples{' of one fold' if len(folds) > 1 else ''}"
        f"{'' if shown == record.shown else f' ({shown} shown)'}, above; "
        f"of {len(record.cases)} cases the best, middle and worst, below; mean Dice {record.scores[:, 0].mean():.3f}"
    )
    title = f"{task.name}, segmented by {method.name}"
    return Section(title, note, {FOREGROUND: task.label}, examples, [results[name] for name in wanted])


def choose(dices: Sequence[float]) -> list[tuple[int, str]]:
    """Indices of the best, the middle and the worst, at most OF_EACH of each, and which of the three each is."""
    order = sorted(range(len(dices)), key=lambda i: -dices[i])
    each = min(OF_EACH, -(-len(order) // 3))
    middle = (len(order) - each) // 2
    groups = {"best": order[:each], "median": order[middle : middle + each], "worst": order[-each:]}
    chosen: dict[int, str] = {}
    for what, indices in groups.items():
        for i in indices:
            chosen.setdefault(i, what)
    return list(chosen.items())
