"""Segment the images of one folder into files: masks, probabilities, and the section of the overview."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import cast

import numpy as np
from PIL import Image
from tqdm import tqdm

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.masks import read_stored_mask, values_in, write_mask
from universeg_jax.io.pictures import read_image
from universeg_jax.io.sheet import SUPPORT_SHOWN, Result, Section, ShownExample
from universeg_jax.io.task_folder import SupportFolder, TargetFile, read_target
from universeg_jax.segment.forecast import Forecast
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.task import Segmentation, Task

AT_ONCE = 16  # targets held in memory
MOST_SHOWN = 24  # results on an overview


@dataclass(frozen=True)
class Options:
    """Options of `Task.segment`, and whether to write probabilities."""

    threshold: float = 0.5
    ensemble: int = 1
    support_size: int | None = None
    similar: int | None = None
    seed: int = 0
    probabilities: bool = False

    @property
    def shown(self) -> dict:
        """Arguments of `Task.segment` about the examples."""
        if self.similar is not None:
            if self.support_size is not None:
                raise InputError(f"--similar {self.similar} --support-size {self.support_size}: pass one of both")
            return {"support": "similar", "support_size": self.similar, "ensemble": self.ensemble, "seed": self.seed}
        return {"support_size": self.support_size, "ensemble": self.ensemble, "seed": self.seed}


@dataclass(frozen=True)
class ClassRecord:
    """One class in one image.

    Attributes:
        value: its notation in masks: "255", or "#ff0000" for a colour.
        pixels: predicted area.
        fraction: predicted area divided by the image's.
        probability: mean probability of the class over its predicted pixels; None if there are none.
        dice: overlap with the true mask; None if that is unknown, and for the background.
    """

    value: str
    pixels: int
    fraction: float
    probability: float | None
    dice: float | None


@dataclass(frozen=True)
class PredictionRecord:
    """One segmented image.

    Attributes:
        name: its name without extension.
        image: its file.
        width: in pixels.
        height: in pixels.
        classes: a record for each class, by name.
        spread: standard deviation of the probability over an ensemble, averaged over the image; None without ensemble.
        seconds: time per image.
        predicted_dice: Dice to expect without knowing the truth; None without a forecast.
    """

    name: str
    image: str
    width: int
    height: int
    classes: dict[str, ClassRecord]
    spread: float | None
    seconds: float
    predicted_dice: float | None = None

    @property
    def dice(self) -> float | None:
        """Mean Dice over the classes, without the background."""
        known = [record.dice for record in self.classes.values() if record.dice is not None]
        return fmean(known) if known else None


def foreground(support: SupportFolder) -> dict[int, str]:
    """Return the classes of a task without its background, the smallest value."""
    return dict(list(support.class_names.items())[1:])


def output_files(support: SupportFolder, targets: Sequence[TargetFile], options: Options) -> list[str]:
    """List the paths of all pictures that `predict_targets` writes, relative to its folder."""
    folders = ["masks"]
    if options.probabilities:
        folders += _probability_folders(support)
    if options.ensemble > 1:
        folders.append("spread")
    return [f"{folder}/{target.name}.png" for folder in folders for target in targets]


def predict_targets(
    segmenter: Segmenter,
    support: SupportFolder,
    targets: Sequence[TargetFile],
    folder: Path,
    options: Options,
    *,
    progress: bool,
) -> tuple[list[PredictionRecord], Task]:
    """Segment the targets of one task and write a folder of pictures.

    masks/NAME.png holds class values, coded as in the masks of the support. The other pictures are 16-bit, where 65535
    is 1. Probabilities are probabilities/NAME.png, or probabilities/CLASS/NAME.png with more than two classes.
    spread/NAME.png is the standard deviation over an ensemble, the largest over classes.

    Returns:
        One record for each target, and the task.

    Raises:
        InputError: for a file that cannot be used.
    """
    for target in tqdm(targets, desc="checking", unit="image", delay=1, disable=not progress, leave=False):
        read_target(target, support)  # so that a damaged file stops the work at once
    for file in output_files(support, targets, options):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    task = cast(Task, segmenter.fit(support.images, support.labels, names=support.names))
    records = []
    with tqdm(total=len(targets), desc="segmenting", unit="image", disable=not progress) as bar:
        for start in range(0, len(targets), AT_ONCE):
            batch = targets[start : start + AT_ONCE]
            images, labels = zip(*(read_target(target, support) for target in batch), strict=True)
            began = time.perf_counter()
            results = task.segment(
                list(images),
                threshold=options.threshold,
                **options.shown,
                names=[target.name for target in batch],
            )
            seconds = (time.perf_counter() - began) / len(batch)
            for target, label, result in zip(batch, labels, results, strict=True):
                _write(folder, target.name, result, support, options)
                records.append(_record(target, label, result, support, options, seconds))
            bar.update(len(batch))
    return records, task


def _probability_folders(support: SupportFolder) -> list[str]:
    if len(support.class_names) == 2:
        return ["probabilities"]
    return [f"probabilities/{support.coding.name(value).lstrip('#')}" for value in support.class_names]


def _write(folder: Path, name: str, result: Segmentation, support: SupportFolder, options: Options) -> None:
    write_mask(folder / "masks" / f"{name}.png", result.mask, support.coding)
    if options.probabilities:
        for place, probability in zip(_probability_folders(support), _per_class(result.probability), strict=True):
            _write_map(folder / place / f"{name}.png", probability)
    if options.ensemble > 1 and result.spread is not None:
        _write_map(folder / "spread" / f"{name}.png", np.max(_per_class(result.spread), axis=0))


def _per_class(maps: np.ndarray) -> list[np.ndarray]:
    """Split one map (H,W), or (H,W,K), into a list of maps."""
    return [maps] if maps.ndim == 2 else list(np.moveaxis(maps, -1, 0))


def _write_map(path: Path, values: np.ndarray) -> None:
    Image.fromarray(np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16)).save(path)


def _record(
    target: TargetFile,
    label: np.ndarray | None,
    result: Segmentation,
    support: SupportFolder,
    options: Options,
    seconds: float,
) -> PredictionRecord:
    probabilities = _per_class(result.probability)
    if len(probabilities) == 1:
        probabilities = [1 - probabilities[0], probabilities[0]]
    classes = {}
    for (value, name), probability in zip(support.class_names.items(), probabilities, strict=True):
        found = result.mask == value
        scored = value in foreground(support)
        classes[name] = ClassRecord(
            value=support.coding.name(value),
            pixels=int(found.sum()),
            fraction=round(float(found.mean()), 6),
            probability=round(float(probability[found].mean()), 4) if found.any() else None,
            dice=round(dice(found, label == value), 4) if label is not None and scored else None,
        )
    height, width = result.mask.shape
    shown = result.spread if options.ensemble > 1 else None
    spread = None if shown is None else round(float(shown.mean()), 4)
    predicted = None if result.predicted_dice is None else round(result.predicted_dice, 4)
    return PredictionRecord(
        target.name, str(target.image), width, height, classes, spread, round(seconds, 4), predicted
    )


def make_section(
    title: str,
    support: SupportFolder,
    targets: Sequence[TargetFile],
    records: Sequence[PredictionRecord],
    folder: Path,
    forecast: Forecast | None = None,
) -> Section:
    """Make the overview section of one task from the written results."""
    chosen, how = choose_shown(records)
    results = [_result(targets[i], records[i], support, folder) for i in chosen]
    shown = evenly(len(support.names), SUPPORT_SHOWN)
    examples = [ShownExample(support.names[i], support.images[i], support.labels[i]) for i in shown]
    note = f"{_count(len(support.names), 'labelled example')}{_shown(examples, support.names)}, above; "
    note += f"{_count(len(records), 'segmented image')}{how}, below"
    dices = [record.dice for record in records if record.dice is not None]
    if dices:
        note += f"; mean Dice {np.mean(dices):.3f}"
    if forecast is not None:
        note += f"; {forecast}"
    colours = support.coding.colours(list(foreground(support)))
    return Section(title, note, foreground(support), examples, results, colours)


def choose_shown(records: Sequence[PredictionRecord]) -> tuple[list[int], str]:
    """Choose results to show: all of them, or the worst, middle and best by Dice, or evenly spaced ones.

    Returns:
        Indices of records, and a remark on the choice.
    """
    if len(records) <= MOST_SHOWN:
        return list(range(len(records))), ""
    dices = [record.dice for record in records if record.dice is not None]
    if len(dices) < len(records):
        return evenly(len(records), MOST_SHOWN), f" ({MOST_SHOWN} shown, evenly chosen)"
    order = sorted(range(len(records)), key=dices.__getitem__)
    third, middle = MOST_SHOWN // 3, (len(order) - MOST_SHOWN // 3) // 2
    chosen = [*order[:third], *order[middle : middle + third], *order[-third:]]
    return chosen, f" ({third} worst, {third} in the middle and {third} best by Dice shown, in this order)"


def evenly(total: int, most: int) -> list[int]:
    """Return at most `most` indices of 0..total-1, evenly spaced from the first to the last."""
    return np.linspace(0, total - 1, min(total, most)).round().astype(int).tolist()


def _result(target: TargetFile, record: PredictionRecord, support: SupportFolder, folder: Path) -> Result:
    image, truth = read_target(target, support)
    mask = values_in(read_stored_mask(folder / "masks" / f"{target.name}.png"), support.coding)
    spread = None
    if record.spread is not None:
        spread = read_image(folder / "spread" / f"{target.name}.png") / 65535
    return Result(target.name, image, mask, truth, record.dice, spread)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _shown(examples: Sequence[ShownExample], names: Sequence[str]) -> str:
    return "" if len(examples) == len(names) else f" ({len(examples)} shown)"
