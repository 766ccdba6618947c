"""What of a finished run goes on its overview sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from universeg_jax.commands.prediction import Record, foreground
from universeg_jax.segment.files import read_image
from universeg_jax.segment.folder import Support, Target, read_target
from universeg_jax.segment.masks import read_mask, values_in
from universeg_jax.segment.picture import SUPPORT_SHOWN, Example, Result, Section

MOST = 24  # results on a sheet


def make_section(
    title: str, support: Support, targets: Sequence[Target], records: Sequence[Record], folder: Path
) -> Section:
    """The section of one task, its results read back from the folder they were written to."""
    chosen, how = choose(records)
    results = [_result(targets[i], records[i], support, folder) for i in chosen]
    shown = evenly(len(support.names), SUPPORT_SHOWN)
    examples = [Example(support.names[i], support.images[i], support.labels[i]) for i in shown]
    note = f"{_count(len(support.names), 'labelled example')}{_shown(examples, support.names)}, above; "
    note += f"{_count(len(records), 'segmented image')}{how}, below"
    dices = [record.dice for record in records if record.dice is not None]
    if dices:
        note += f"; mean Dice {np.mean(dices):.3f}"
    return Section(title, note, foreground(support), examples, results)


def choose(records: Sequence[Record]) -> tuple[list[int], str]:
    """Which results to show, and how they were chosen: all, the worst, middle and best by Dice, or evenly."""
    if len(records) <= MOST:
        return list(range(len(records))), ""
    if any(record.dice is None for record in records):
        return evenly(len(records), MOST), f" ({MOST} shown, evenly chosen)"
    order = sorted(range(len(records)), key=lambda i: records[i].dice)
    third, middle = MOST // 3, (len(order) - MOST // 3) // 2
    chosen = [*order[:third], *order[middle : middle + third], *order[-third:]]
    return chosen, f" ({third} worst, {third} in the middle and {third} best by Dice shown, in this order)"


def evenly(total: int, most: int) -> list[int]:
    """At most `most` of the indices 0..total-1, at even distances from the first to the last."""
    return np.linspace(0, total - 1, min(total, most)).round().astype(int).tolist()


def _result(target: Target, record: Record, support: Support, folder: Path) -> Result:
    image, truth = read_target(target, support)
    mask = values_in(read_mask(folder / "masks" / f"{target.name}.png"), support.coding)
    spread = None
    if record.spread is not None:
        spread = read_image(folder / "spread" / f"{target.name}.png") / 65535
    return Result(target.name, image, mask, truth, record.dice, spread)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _shown(examples: Sequence[Example], names: Sequence[str]) -> str:
    return "" if len(examples) == len(names) else f" ({len(examples)} shown)"
