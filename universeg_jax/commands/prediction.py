"""Segmenting the targets of one task into files, and what is recorded of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image
from tqdm import tqdm

from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.folder import Support, Target, read_target
from universeg_jax.segment.masks import write_mask
from universeg_jax.segment.segmenter import Segmentation, Segmenter

AT_ONCE = 16  # targets held in memory


@dataclass(frozen=True)
class Options:
    """How to segment; what `Task.segment` takes, and whether to write probabilities."""

    threshold: float = 0.5
    ensemble: int = 1
    support_size: int | None = None
    seed: int = 0
    probabilities: bool = False


@dataclass(frozen=True)
class ClassRecord:
    """One class in one image.

    Attributes:
        value: as the masks write it: "255", or "#ff0000" for a colour.
        pixels, fraction: area predicted.
        probability: mean probability of the class over the pixels predicted as it; None where there are none.
        dice: with the truth; None where it is unknown, and for the background.
    """

    value: str
    pixels: int
    fraction: float
    probability: float | None
    dice: float | None


@dataclass(frozen=True)
class Record:
    """One segmented image. Spread: mean over the image of the probability's standard deviation over an ensemble."""

    name: str
    image: str
    width: int
    height: int
    classes: dict[str, ClassRecord]
    spread: float | None
    seconds: float

    @property
    def dice(self) -> float | None:
        """The mean over the classes, without the background."""
        known = [record.dice for record in self.classes.values() if record.dice is not None]
        return fmean(known) if known else None


def foreground(support: Support) -> dict[int, str]:
    """The classes of a task without its background, which is the smallest value."""
    return dict(list(support.class_names.items())[1:])


def output_files(support: Support, targets: Sequence[Target], options: Options) -> list[str]:
    """The paths of all pictures `predict_targets` writes, relative to its folder."""
    folders = ["masks"]
    if options.probabilities:
        folders += _probability_folders(support)
    if options.ensemble > 1:
        folders.append("spread")
    return [f"{folder}/{target.name}.png" for folder in folders for target in targets]


def predict_targets(
    segmenter: Segmenter,
    support: Support,
    targets: Sequence[Target],
    folder: Path,
    options: Options,
    *,
    progress: bool,
) -> list[Record]:
    """Segment the targets of one task and write a folder of pictures.

    masks/NAME.png holds class values as the masks of the support do. probabilities/NAME.png, or
    probabilities/CLASS/NAME.png with more than two classes, are 16-bit, 65535 being 1; so is spread/NAME.png, the
    standard deviation over an ensemble, for more than two classes the largest of them.

    Raises:
        InputError: for every file that cannot be used.
    """
    for target in tqdm(targets, desc="checking", unit="image", delay=1, disable=not progress, leave=False):
        read_target(target, support)  # a damaged file stops the work now, not in an hour
    for file in output_files(support, targets, options):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    task = segmenter.fit(support.images, support.labels, names=support.names)
    records = []
    with tqdm(total=len(targets), desc="segmenting", unit="image", disable=not progress) as bar:
        for start in range(0, len(targets), AT_ONCE):
            batch = targets[start : start + AT_ONCE]
            images, labels = zip(*(read_target(target, support) for target in batch), strict=True)
            began = time.perf_counter()
            results = task.segment(
                list(images),
                threshold=options.threshold,
                ensemble=options.ensemble,
                support_size=options.support_size,
                seed=options.seed,
                names=[target.name for target in batch],
            )
            seconds = (time.perf_counter() - began) / len(batch)
            for target, label, result in zip(batch, labels, results, strict=True):
                _write(folder, target.name, result, support, options)
                records.append(_record(target, label, result, support, seconds))
            bar.update(len(batch))
    return records


def _probability_folders(support: Support) -> list[str]:
    if len(support.class_names) == 2:
        return ["probabilities"]
    return [f"probabilities/{support.coding.name(value).lstrip('#')}" for value in support.class_names]


def _write(folder: Path, name: str, result: Segmentation, support: Support, options: Options) -> None:
    write_mask(folder / "masks" / f"{name}.png", result.mask, support.coding)
    if options.probabilities:
        for place, probability in zip(_probability_folders(support), _per_class(result.probability), strict=True):
            _write_map(folder / place / f"{name}.png", probability)
    if result.spread is not None:
        _write_map(folder / "spread" / f"{name}.png", np.max(_per_class(result.spread), axis=0))


def _per_class(maps: np.ndarray) -> list[np.ndarray]:
    """One map (H,W), or (H,W,K), as a list of maps."""
    return [maps] if maps.ndim == 2 else list(np.moveaxis(maps, -1, 0))


def _write_map(path: Path, values: np.ndarray) -> None:
    Image.fromarray(np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16)).save(path)


def _record(target: Target, label: np.ndarray | None, result: Segmentation, support: Support, seconds: float) -> Record:
    probabilities = _per_class(result.probability)
    if len(probabilities) == 1:
        probabilities = [1 - probabilities[0], probabilities[0]]
    classes = {}
    for (value, name), probability in zip(support.class_names.items(), probabilities, strict=True):
        found = result.mask == value
        scored = label is not None and value in foreground(support)
        classes[name] = ClassRecord(
            value=support.coding.name(value),
            pixels=int(found.sum()),
            fraction=round(float(found.mean()), 6),
            probability=round(float(probability[found].mean()), 4) if found.any() else None,
            dice=round(dice(found, label == value), 4) if scored else None,
        )
    height, width = result.mask.shape
    spread = None if result.spread is None else round(float(result.spread.mean()), 4)
    return Record(target.name, str(target.image), width, height, classes, spread, round(seconds, 4))
