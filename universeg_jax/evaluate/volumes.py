"""Evaluate on whole volumes: segment each from random draws of labelled volumes, and score it in three dimensions.

OUT/volumes.jsonl    first line: the options that all scores depend on; then one scan of one draw on each line
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice, surface_scores
from universeg_jax.io.volume_folder import LabelledVolume, VolumeFolder
from universeg_jax.io.volumes import values_of
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes
from universeg_jax.util.checks import check_number
from universeg_jax.util.json_files import LineFile
from universeg_jax.util.random import generator

MEASUREMENTS = "volumes.jsonl"
MEASURES = ("dice", "surface_dice", "hausdorff95")


@dataclass(frozen=True)
class VolumeProtocol:
    """Options of an evaluation on volumes.

    Attributes:
        support: number of labelled volumes shown.
        draws: number of random draws of these volumes.
        folds: each volume is segmented once in each draw, from volumes of other folds. A subject stays in one fold.
        targets: largest number of volumes to segment, chosen at random; None for all.
        threshold: threshold of the probabilities.
        tolerance: tolerance of surface Dice, in millimetres.
        axis: axis to cut volumes along; None for the axis of the thickest slices.
        modality: modality of all volumes; "" for the modality in the files.
        seed: seed of all random draws.
        choice: slices shown.

    Raises:
        InputError: a value is out of range.
    """

    support: int = 3
    draws: int = 3
    folds: int = 5
    targets: int | None = None
    threshold: float = 0.5
    tolerance: float = 1.0
    axis: str | None = None
    modality: str = ""
    seed: int = 0
    choice: SliceChoice = field(default_factory=SliceChoice)

    def __post_init__(self):
        for name in ("support", "draws"):
            check_number(name, getattr(self, name), least=1, whole=True)
        check_number("folds", self.folds, least=2, whole=True)
        if self.targets is not None:
            check_number("targets", self.targets, least=1, whole=True)
        check_number("threshold", self.threshold, above=0, below=1)
        check_number("tolerance", self.tolerance, least=0)


class VolumeKey(NamedTuple):
    """Name of a measurement: one scan in one draw."""

    draw: int
    scan: str


@dataclass(frozen=True)
class VolumeScore:
    """Scores of one scan in one draw.

    Attributes:
        key: name of the measurement.
        subject: subject of the scan.
        support: names of the labelled volumes shown.
        structures: Dice, surface Dice and Hausdorff distance in millimetres, by structure. Structures that the true
            mask lacks are left out.
    """

    key: VolumeKey
    subject: str
    support: tuple[str, ...]
    structures: dict[str, tuple[float, float, float]]


class _Some(Sequence):
    """Some volumes of a folder; each is read when it is needed."""

    def __init__(self, folder: VolumeFolder, indices: Sequence[int]):
        self._folder, self._indices = folder, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        return self._folder[self._indices[index]]


def evaluate_volumes(
    folder: VolumeFolder,
    segmenter: Segmenter,
    protocol: VolumeProtocol,
    out: Path,
    *,
    identity: str,
    subjects: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[VolumeScore]:
    """Segment and score the volumes of a folder. Resume if `out` holds measurements of the same run.

    Args:
        folder: labelled volumes.
        segmenter: the models.
        protocol: options.
        out: folder of the measurements.
        identity: identity of the models; other models do not resume a run.
        subjects: subject of each volume; None counts each as its own.
        overwrite: delete the measurements in `out` and start again.
        progress: show a progress bar.

    Raises:
        InputError: too few volumes, `out` holds another run, or volumes that cannot be used.
    """
    subjects = [file.name for file in folder.files] if subjects is None else list(subjects)
    plan = make_volume_plan(subjects, protocol)
    file = LineFile(out / MEASUREMENTS)
    options = {name: value for name, value in asdict(protocol).items() if name not in ("draws", "targets")}
    about = {"identity": identity, **options, "volumes": [_stamp(one.image, one.mask) for one in folder.files]}
    if overwrite:
        (out / MEASUREMENTS).unlink(missing_ok=True)
    done = {score.key: score for score in _open(file, json.loads(json.dumps(about)))}
    found = []
    total = sum(len(targets) for _, _, targets in plan)
    with tqdm(total=total, desc="evaluating", unit="scan", disable=not progress) as bar:
        for draw, support, targets in plan:
            keys = [VolumeKey(draw, folder.files[i].name) for i in targets]
            task = None
            for i, key in zip(targets, keys, strict=True):
                if key not in done:
                    task = task or fit_volumes(
                        segmenter,
                        _Some(folder, support),
                        axis=protocol.axis,
                        choice=protocol.choice,
                        modality=protocol.modality,
                        threshold=protocol.threshold,
                    )
                    target = folder[i]
                    mask = task.segment(target.image).mask
                    shown = tuple(folder.files[k].name for k in support)
                    scores = score_volume(mask, target, folder.class_names, tolerance=protocol.tolerance)
                    done[key] = VolumeScore(key, subjects[i], shown, scores)
                    file.append({**asdict(done[key]), "key": list(key)})
                found.append(done[key])
                bar.update()
    return found


def make_volume_plan(
    subjects: Sequence[str], protocol: VolumeProtocol
) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """List the draws as (draw, labelled volumes, volumes to segment), as indices.

    Raises:
        InputError: too few volumes or subjects.
    """
    names = sorted(set(subjects))
    if len(names) < 2:
        raise InputError(f"{len(names)} subjects: at least 2 are needed, one to show and one to segment")
    folds = min(protocol.folds, len(names))
    order = generator(protocol.seed, "folds").permutation(len(names))
    group = {names[s]: place % folds for place, s in enumerate(order)}
    targets = set(generator(protocol.seed, "targets").permutation(len(subjects))[: protocol.targets].tolist())
    plan = []
    for draw in range(protocol.draws):
        for fold in range(folds):
            others = [i for i, subject in enumerate(subjects) if group[subject] != fold]
            if len(others) < protocol.support:
                raise InputError(
                    f"support={protocol.support}: only {len(others)} volumes lie outside a fold; show fewer volumes, "
                    "or pass more folds"
                )
            drawn = generator(protocol.seed, "support", draw, fold).choice(others, protocol.support, replace=False)
            own = tuple(i for i, subject in enumerate(subjects) if group[subject] == fold and i in targets)
            if own:
                plan.append((draw, tuple(sorted(drawn.tolist())), own))
    return plan


def score_volume(
    mask: np.ndarray, target: LabelledVolume, names: Mapping[int, str], *, tolerance: float
) -> dict[str, tuple[float, float, float]]:
    """Score each structure that the true mask shows: Dice, surface Dice, and Hausdorff distance in millimetres."""
    scores = {}
    for value in values_of(target.labels):
        if value:
            found, true = mask == value, target.labels == value
            surface, distance = surface_scores(found, true, tolerance=tolerance, spacing=target.image.spacing)
            overlap = dice(found, true)
            scores[names.get(value, str(value))] = round(overlap, 6), round(surface, 6), round(distance, 6)
    return scores


def _stamp(*paths: Path | None) -> list:
    """Return name, size and time of files and of the files in folders, which change when the data do."""
    given = [path for path in paths if path is not None]
    files = [file for path in given for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _open(file: LineFile, about: dict) -> list[VolumeScore]:
    try:
        lines = file.read()
    except ValueError as error:
        raise InputError(f"{file.path}: holds no measurements ({error}); pass another --out, or --overwrite") from None
    if not lines:
        file.append(about)
        return []
    if not isinstance(lines[0], dict):
        raise InputError(f"{file.path}: holds no measurements; pass another --out, or --overwrite")
    for name, value in about.items():
        if lines[0].get(name) != value:
            raise InputError(f"{file.path}: belongs to a run with other {name}; pass another --out, or --overwrite")
    return [
        VolumeScore(
            VolumeKey(*line["key"]),
            line["subject"],
            tuple(line["support"]),
            {name: tuple(scores) for name, scores in line["structures"].items()},
        )
        for line in lines[1:]
    ]
