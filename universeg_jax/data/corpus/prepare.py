"""From a source to a dataset of a corpus: every item is staged, then all are stored, then the dataset appears."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from universeg_jax.data.corpus.describe import describe, index_images, write_sheet
from universeg_jax.data.corpus.read import Corpus, open_images, read_about
from universeg_jax.data.corpus.select import SPLITS, split_subjects
from universeg_jax.data.corpus.store import (
    RESOLUTIONS,
    CorpusBuilder,
    Outcome,
    StagedItem,
    read_outcome,
    stage,
    work_key,
)
from universeg_jax.data.corpus.workers import Beam, Processes
from universeg_jax.data.readers.source import Item, Source
from universeg_jax.errors import InputError, listing


@dataclass(frozen=True)
class Prepared:
    """What preparing a source came to.

    Attributes:
        folder: where the dataset lies.
        about: the contents of its dataset.json.
        reused: how many scans an earlier run had finished; all of them if the dataset was there already.
    """

    folder: Path
    about: dict
    reused: int


def prepare(
    source: Source, corpus: Path, *, workers: Processes | Beam, stop: bool = False, quiet: bool = False
) -> Prepared:
    """Prepare one dataset, taking up what an earlier run left.

    The dataset appears in `corpus` when it is complete; until then all work lies in `corpus`/.NAME-partial. One that
    is there already is left alone.

    Args:
        stop: end at the first item that cannot be used, instead of leaving it out.
        quiet: show no progress bars.

    Raises:
        InputError: a dataset of this name made from something else, an item that cannot be used (with `stop`), no item
            that can, no classes, two classes of one name, a corpus that cannot be written.
    """
    keys = {item: work_key(source, item) for item in source.items}
    fingerprint = _fingerprint(source, keys)
    place, unfinished = corpus / source.name, corpus / f".{source.name}-partial"
    if place.exists():
        return _already_there(place, fingerprint)
    files = {item: unfinished / "items" / f"{key}.json" for item, key in keys.items()}
    try:
        (unfinished / "items").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{corpus}: cannot be made a corpus ({error.strerror}); pass another folder") from None
    reused = _count_finished(files.values())
    build = unfinished / f"build-{uuid.uuid4().hex[:8]}"
    try:
        outcomes = _stage_all(source, files, workers, stop=stop, quiet=quiet)
        try:
            classes = _classes(source, outcomes)
        except InputError:
            shutil.rmtree(unfinished, ignore_errors=True)  # files or options must change, and with them all work
            raise
        about = _store(source, files, outcomes, classes, build, fingerprint, workers, quiet=quiet)
    except (OSError, RuntimeError) as error:  # tensorflow-datasets turns a full disk into a RuntimeError
        shutil.rmtree(build, ignore_errors=True)
        raise InputError(
            f"{corpus}: cannot be written ({error}); finished work is kept: run the same command again to go on"
        ) from error
    try:
        (build / source.name).rename(place)
    except OSError as error:
        raise InputError(f"{place}: cannot be put there ({error.strerror}); perhaps another run just did") from None
    shutil.rmtree(unfinished, ignore_errors=True)
    return Prepared(place, about, reused)


def _store(
    source: Source,
    files: Mapping[Item, Path],
    outcomes: Mapping[Item, Outcome],
    classes: tuple[tuple[int, str], ...],
    build: Path,
    fingerprint: str,
    workers: Processes | Beam,
    *,
    quiet: bool,
) -> dict:
    """Make the dataset `build`/NAME from staged items; the contents of its dataset.json."""
    splits = split_subjects((item.subject for item in source.items), dataset=source.name)
    by_split: dict[str, list[StagedItem]] = {split: [] for split in SPLITS}
    for item, outcome in outcomes.items():
        if not outcome.problem:
            by_split[splits[item.subject]].append(StagedItem(item, files[item]))
    for resolution in tqdm(RESOLUTIONS, desc=f"{source.name}: storing", unit="size", disable=quiet, leave=False):
        CorpusBuilder(source.name, build, resolution=resolution, classes=classes, splits=by_split).store(workers)
    dataset, names = build / source.name, [name for _, name in classes]
    index = index_images(open_images(dataset, min(RESOLUTIONS)), splits)
    about = describe(source, outcomes, names, index, splits) | {"fingerprint": fingerprint}
    np.savez_compressed(dataset / "index.npz", **index)
    (dataset / "dataset.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_sheet(dataset / "sheet.png", Corpus(build), source.name)
    return about


def _fingerprint(source: Source, keys: Mapping[Item, str]) -> str:
    """Another one when anything changes that the dataset is made from or that is recorded with it."""
    subjects = [(key, item.subject) for item, key in keys.items()]
    made_from = (subjects, source.subjects_known, source.origin, source.version, source.licence)
    return hashlib.sha256(repr(made_from).encode()).hexdigest()


def _already_there(place: Path, fingerprint: str) -> Prepared:
    if not (place / "dataset.json").is_file():
        raise InputError(f"{place}: is in the way and holds no dataset; pass another --name, or move it away")
    about = read_about(place / "dataset.json")
    if about.get("fingerprint") != fingerprint:
        raise InputError(
            f"{place}: is there already, made from other files or with other options; "
            "pass another --name, or remove it to prepare it anew"
        )
    return Prepared(place, about, about["scans"]["used"])


def _count_finished(files) -> int:
    outcomes = (read_outcome(file) for file in files)
    return sum(outcome is not None and not outcome.problem for outcome in outcomes)


def _stage_all(
    source: Source, files: Mapping[Item, Path], workers: Processes | Beam, *, stop: bool, quiet: bool
) -> dict[Item, Outcome]:
    """Stage all items; the outcomes, in the order of the items."""
    # Without the list of items: it is sent to the workers with each of them.
    work = partial(stage, replace(source, items=()), next(iter(files.values())).parent)
    finished = workers.run(work, source.items)
    with tqdm(finished, total=len(files), desc=source.name, unit="scan", disable=quiet) as progress:
        for outcome in progress:
            if outcome.problem and stop:
                raise InputError(f"{outcome.problem} (finished work is kept; --on-error skip leaves such items out)")
    return {item: read_outcome(file) for item, file in files.items()}


def _classes(source: Source, outcomes: Mapping[Item, Outcome]) -> tuple[tuple[int, str], ...]:
    """Value and name of all classes of the dataset, by value."""
    problems = [outcome.problem for outcome in outcomes.values() if outcome.problem]
    if len(problems) == len(outcomes):
        raise InputError(f"{source.folder}: none of its {len(outcomes)} items can be used; the first: {problems[0]}")
    classes = sorted({entry for outcome in outcomes.values() for entry in outcome.classes})
    names = [name for _, name in classes]
    if not classes:
        raise InputError(f"{source.folder}: its masks hold background (0) only")
    if len(set(names)) < len(names):
        raise InputError(f"{source.folder}: two classes have one name: {listing(names)}")
    return tuple(classes)
