"""Run the few-shot protocol: folds, organs, scans; measure Dice in 3-D and in 2-D.

OUT/few_shot.jsonl    first line: the options that all scores depend on; then one measurement on each line
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from universeg_jax.data.stacks import SliceStack, check_organs
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import FewShotMethod
from universeg_jax.evaluate.few_shot.support import ScanFold, make_scan_folds
from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.plan import MOST_DRAWS
from universeg_jax.util.checks import check_number
from universeg_jax.util.json_files import LineFile

MEASUREMENTS = "few_shot.jsonl"


@dataclass(frozen=True)
class FewShotProtocol:
    """Options of the few-shot protocol.

    Attributes:
        folds: number of folds.
        only: numbers of the folds to measure, from 0; None for all. An encoder that was trained without the query scans
            of one fold may be measured on this fold only.
        seeds: number of support choices. Seed 0 takes the scan after each fold, other seeds draw one at random.
        organs: names of the organs to measure, for example a label set; None for all.
        threshold: threshold of the probabilities.
        smallest: organs in fewer slices of a scan are skipped there, in support and query.

    Raises:
        InputError: a value is out of range.
    """

    folds: int = 5
    only: tuple[int, ...] | None = None
    seeds: int = 1
    organs: tuple[str, ...] | None = None
    threshold: float = 0.5
    smallest: int = 3

    def __post_init__(self):
        check_number("folds", self.folds, least=2, whole=True)
        if self.only is not None and (not self.only or not set(self.only) <= set(range(self.folds))):
            raise InputError(f"only={self.only}: pass numbers of folds from 0 to {self.folds - 1}")
        check_number("seeds", self.seeds, least=1, most=MOST_DRAWS, whole=True)
        check_number("threshold", self.threshold, above=0, below=1)
        check_number("smallest", self.smallest, least=1, whole=True)


class FewShotKey(NamedTuple):
    """Name of a measurement."""

    method: str
    organ: str
    seed: int
    fold: int
    scan: str


@dataclass(frozen=True)
class FewShotScore:
    """Scores of one organ in one scan.

    Attributes:
        key: name of the measurement.
        support: name of the support scan.
        dice_3d: Dice of all slices together.
        dice_2d: Dice of each slice.
        slices: numbers of the slices.
    """

    key: FewShotKey
    support: str
    dice_3d: float
    dice_2d: tuple[float, ...]
    slices: tuple[int, ...]


@dataclass(frozen=True)
class Skipped:
    """An organ that is not measured in a fold or a scan, with the reason."""

    organ: str
    seed: int
    fold: int
    scan: str
    reason: str


def run_few_shot(
    stacks: Sequence[SliceStack],
    methods: Sequence[FewShotMethod],
    protocol: FewShotProtocol,
    out: Path,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> tuple[list[FewShotScore], list[Skipped]]:
    """Measure methods on all folds, organs and scans. Resume if `out` holds measurements of the same run.

    Args:
        stacks: labelled scans.
        methods: to measure; their names must differ.
        protocol: options.
        out: folder of the measurements.
        overwrite: delete the measurements in `out` and start again.
        progress: show a progress bar.

    Returns:
        The scores, and the reasons for skipped organs.

    Raises:
        InputError: `out` holds another run, an organ is unknown, or nothing can be measured.
    """
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise InputError(f"methods={', '.join(names)}: two have the same name; give them different names")
    organs = check_organs(stacks, protocol.organs)
    by_name = {stack.name: stack for stack in stacks}
    if len(by_name) < len(stacks):
        raise InputError(f"scans={', '.join(stack.name for stack in stacks)}: two have the same name; rename one")
    about = {
        "folds": protocol.folds,
        "threshold": protocol.threshold,
        "smallest": protocol.smallest,
        "scans": {stack.name: stack.fingerprint for stack in stacks},
    }
    file = MeasurementFile(out / MEASUREMENTS, about, {m.name: m.identity for m in methods}, overwrite=overwrite)
    planned, skipped = plan(by_name, organs, protocol)
    if not planned:
        raise InputError(f"nothing can be measured; {skipped[0].organ}: {skipped[0].reason}")
    scores = []
    with tqdm(total=len(planned) * len(methods), desc="evaluating", unit="organ", disable=not progress) as bar:
        for seed, number, fold, scan, organ in planned:
            support, query = by_name[fold.support].organ(organ), by_name[scan].organ(organ)
            for method in methods:
                key = FewShotKey(method.name, organ, seed, number, scan)
                if key not in file:
                    masks = method.segment(support, query) > protocol.threshold
                    file.add(score_organ(key, fold.support, masks, query.masks, query.slices))
                scores.append(file[key])
                bar.update()
    return scores, skipped


def plan(
    stacks: Mapping[str, SliceStack], organs: Sequence[str], protocol: FewShotProtocol
) -> tuple[list[tuple[int, int, ScanFold, str, str]], list[Skipped]]:
    """List all measurements as (seed, fold number, fold, query scan, organ), scan by scan; and all skipped organs."""
    planned, skipped = [], []
    shown = {(name, organ): len(stack.organ(organ)) for name, stack in stacks.items() for organ in organs}
    for seed in range(protocol.seeds):
        for number, fold in enumerate(make_scan_folds(list(stacks), folds=protocol.folds, seed=seed)):
            if protocol.only is not None and number not in protocol.only:
                continue
            for scan in fold.queries:
                for organ in organs:
                    few = next((s for s in (fold.support, scan) if shown[s, organ] < protocol.smallest), None)
                    if few is None:
                        planned.append((seed, number, fold, scan, organ))
                        continue
                    role = "support scan" if few == fold.support else "query scan"
                    reason = f"{role} {few} shows {organ} in {shown[few, organ]} slices, fewer than {protocol.smallest}"
                    skipped.append(Skipped(organ, seed, number, scan, reason))
    return planned, skipped


def score_organ(
    key: FewShotKey, support: str, masks: np.ndarray, truth: np.ndarray, slices: np.ndarray
) -> FewShotScore:
    """Score the masks (n,H,W) of one organ in one scan."""
    of_slices = tuple(round(dice(mask, true), 6) for mask, true in zip(masks, truth, strict=True))
    return FewShotScore(key, support, round(dice(masks, truth), 6), of_slices, tuple(map(int, slices)))


class MeasurementFile:
    """Measurements of a run, in memory and in a file.

    Args:
        file: the file. Its measurements are read if it exists.
        about: options that all scores depend on.
        identities: identities of the methods, by name.
        overwrite: delete the file first.

    Raises:
        InputError: the file belongs to another run, or is no file of measurements.
    """

    def __init__(self, file: Path, about: Mapping, identities: Mapping[str, str], *, overwrite: bool = False):
        self._file, self._scores, self._identities = LineFile(file), {}, dict(identities)
        about = json.loads(json.dumps(dict(about)))
        if overwrite:
            file.unlink(missing_ok=True)
        try:
            lines = self._file.read()
        except ValueError as error:
            raise InputError(f"{file}: holds no measurements ({error}); pass another --out, or --overwrite") from None
        if not lines:
            self._file.append(about)
        for name in about if lines else ():
            if not isinstance(lines[0], dict) or lines[0].get(name) != about[name]:
                raise InputError(f"{file}: belongs to a run with other {name}; pass another --out, or --overwrite")
        for line in lines[1:]:
            score = _score_of(line)
            key = score.key
            if (now := identities.get(key.method)) not in (None, line["identity"]):
                raise InputError(
                    f"{file}: the method {key.method} was {line['identity']}, now it is {now}; pass another --out, or "
                    "--overwrite"
                )
            self._scores[key] = score

    def __contains__(self, key: FewShotKey) -> bool:
        return key in self._scores

    def __getitem__(self, key: FewShotKey) -> FewShotScore:
        return self._scores[key]

    def __iter__(self) -> Iterator[FewShotScore]:
        return iter(self._scores.values())

    def add(self, score: FewShotScore) -> None:
        """Add a measurement. The file holds it when this returns."""
        self._file.append({**asdict(score), "key": list(score.key), "identity": self._identities[score.key.method]})
        self._scores[score.key] = score


def read_scores(out: Path) -> list[FewShotScore]:
    """Return the measurements of a folder so far, of a run that may be unfinished.

    Raises:
        InputError: the folder holds no measurements.
    """
    file = out / MEASUREMENTS
    try:
        lines = LineFile(file).read()
    except ValueError as error:
        raise InputError(f"{file}: holds no measurements ({error}); pass another folder") from None
    if len(lines) < 2:
        raise InputError(f"{file}: holds no measurements; pass another folder")
    return [_score_of(line) for line in lines[1:]]


def _score_of(line: Mapping) -> FewShotScore:
    key = FewShotKey(*line["key"])
    return FewShotScore(key, line["support"], line["dice_3d"], tuple(line["dice_2d"]), tuple(line["slices"]))
