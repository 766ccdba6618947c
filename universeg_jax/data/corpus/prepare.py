"""Prepare a dataset of a corpus from a source: stage every item, store all, then publish the complete dataset."""

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
from universeg_jax.data.corpus.select import SPLITS, split_items
from universeg_jax.data.corpus.store import (
    RESOLUTIONS,
    CorpusBuilder,
    Outcome,
    StagedItem,
    finished_outcome,
    read_outcome,
    stage,
    work_key,
)
from universeg_jax.data.corpus.workers import Beam, Processes
from universeg_jax.data.readers.source import Item, Source
from universeg_jax.errors import InputError, listing
from universeg_jax.io.mask_values import check_same_marks
from universeg_jax.util.files import locked


@dataclass(frozen=True)
class Prepared:
    """Result of preparing a source.

    Attributes:
        folder: folder of the dataset.
        about: contents of its dataset.json.
        reused: number of scans that an earlier run had finished; all if the dataset existed.
    """

    folder: Path
    about: dict
    reused: int


def prepare(
    source: Source, corpus: Path, *, workers: Processes | Beam, stop: bool = False, quiet: bool = False
) -> Prepared:
    """Prepare one dataset, and resume the work of an earlier run.

    The dataset appears in `corpus` when it is complete. Until then all work lies in `corpus`/.NAME-partial. An existing
    dataset stays unchanged.

    Args:
        source: files to prepare.
        corpus: folder of the corpus.
        workers: processes or Beam runner.
        stop: raise at the first unusable item instead of skipping it.
        quiet: hide progress bars.

    Raises:
        InputError: the dataset exists and was made from something else; an item is unusable (with `stop`); no item is
            usable; there are no classes, or two of one name; the corpus cannot be written; another run prepares the
            dataset.
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
        raise InputError(f"{corpus}: cannot be created as a corpus ({error.strerror}); pass another folder") from None
    with locked(unfinished):
        return _prepare_in(unfinished, source, files, place, fingerprint, workers, stop=stop, quiet=quiet)


def _prepare_in(
    unfinished: Path,
    source: Source,
    files: Mapping[Item, Path],
    place: Path,
    fingerprint: str,
    workers: Processes | Beam,
    *,
    stop: bool,
    quiet: bool,
) -> Prepared:
    """Prepare a dataset in its unfinished folder, which this process has locked."""
    corpus = place.parent
    reused = _count_finished(files.values())
    build = unfinished / f"build-{uuid.uuid4().hex[:8]}"
    try:
        outcomes = _stage_all(source, files, workers, stop=stop, quiet=quiet)
        try:
            classes = _classes(source, outcomes)
        except InputError:
            shutil.rmtree(unfinished, ignore_errors=True)  # new files or options would need all work again
            raise
        about = _store(source, files, outcomes, classes, build, fingerprint, workers, quiet=quiet)
    except (OSError, RuntimeError) as error:  # tensorflow-datasets turns a full disk into a RuntimeError
        shutil.rmtree(build, ignore_errors=True)
        raise InputError(
            f"{corpus}: cannot be written ({error}); finished work is kept: run the same command again to resume"
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
    """Write the dataset `build`/NAME from staged items, and return the contents of its dataset.json."""
    splits = split_items(source.items, dataset=source.name)
    by_split: dict[str, list[StagedItem]] = {split: [] for split in SPLITS}
    for item, outcome in outcomes.items():
        if not outcome.problem:
            by_split[splits[item.subject]].append(StagedItem(item, files[item]))
    for resolution in tqdm(RESOLUTIONS, desc=f"{source.name}: storing", unit="size", disable=quiet, leave=False):
        CorpusBuilder(source.name, build, resolution=resolution, classes=classes, splits=by_split).store(workers)
    dataset, names = build / source.name, [name for _, name in classes]
    index = index_images(open_images(dataset, min(RESOLUTIONS)), splits)
    about = describe(source, outcomes, names, index, splits) | {"fingerprint": fingerprint}
    np.savez_compressed(dataset / "index.npz", **index)  # type: ignore[arg-type]
    (dataset / "dataset.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_sheet(dataset / "sheet.png", Corpus(build), source.name)
    return about


def _fingerprint(source: Source, keys: Mapping[Item, str]) -> str:
    """Return a digest of everything that the dataset is made from or recorded with."""
    subjects = [(key, item.subject, item.split) for item, key in keys.items()]
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
    """Stage all items, and return the outcomes in their order."""
    # The list of items is removed, because the source is sent to the workers with each item.
    work = partial(stage, replace(source, items=()), next(iter(files.values())).parent)
    finished = workers.run(work, source.items)
    with tqdm(finished, total=len(files), desc=source.name, unit="scan", disable=quiet) as progress:
        for outcome in progress:
            if outcome.problem and stop:
                raise InputError(f"{outcome.problem} (finished work is kept; pass --on-error skip to skip such items)")
    return {item: finished_outcome(file) for item, file in files.items()}


def _classes(source: Source, outcomes: Mapping[Item, Outcome]) -> tuple[tuple[int, str], ...]:
    """Return value and name of all classes of the dataset, sorted by value."""
    problems = [outcome.problem for outcome in outcomes.values() if outcome.problem]
    if len(problems) == len(outcomes):
        raise InputError(f"{source.folder}: none of its {len(outcomes)} items can be used; the first: {problems[0]}")
    classes = sorted({entry for outcome in outcomes.values() for entry in outcome.classes})
    names = [name for _, name in classes]
    if not classes:
        raise InputError(f"{source.folder}: its masks hold background (0) only")
    if not source.one_class:
        check_same_marks({item.name: [v for v, _ in outcome.classes] for item, outcome in outcomes.items()})
    if len(set(names)) < len(names):
        raise InputError(f"{source.folder}: two classes have one name: {listing(names)}")
    return tuple(classes)
