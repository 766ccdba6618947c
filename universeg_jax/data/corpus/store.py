"""Stage items one by one, then store them as array_record files by tensorflow-datasets.

1. `stage` reads one item, cuts it into slices and writes these atomically. Any process on any machine can do it, and a
   later run reuses the result.
2. `CorpusBuilder` writes the staged slices of all items as one dataset.
"""

import contextlib
import hashlib
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from universeg_jax.data.corpus.slices import class_values, resize, slices
from universeg_jax.data.corpus.workers import Beam, Processes
from universeg_jax.data.readers.source import Item, Scan, Source
from universeg_jax.errors import InputError
from universeg_jax.util.files import content_version, whole_file
from universeg_jax.util.json_files import read_json

VERSION = "1.0.0"


@dataclass(frozen=True)
class StagedItem:
    """An item, and the file of its outcome."""

    item: Item
    outcome: Path


class _LocalInfo(tfds.core.DatasetInfo):
    """Description of a dataset that no server knows."""

    def initialize_from_bucket(self) -> None:
        """Skip the search on a server, which would leave an empty temporary folder."""


class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writer of one dataset at one resolution, from its staged items.

    Args:
        name, folder: the result lies in `folder`/`name`/`resolution`/`VERSION`.
        resolution: side of the images in pixels.
        classes: value and name of all classes, in the order of the label maps.
        splits: items of every split; empty splits are skipped.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        resolution: int,
        classes: tuple[tuple[int, str], ...],
        splits: Mapping[str, Sequence[StagedItem]],
    ):
        self.name = name
        self.resolution, self.classes, self.splits = resolution, classes, splits
        config = tfds.core.BuilderConfig(name=str(resolution), version=VERSION)
        with _quiet():
            super().__init__(data_dir=folder, config=config, file_format="array_record")

    def store(self, workers: Processes | Beam) -> None:
        """Write the dataset, in this process or as one Beam pipeline."""
        self._workers = workers
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        if isinstance(workers, Beam):
            config = config.replace(beam_runner=workers.runner, beam_options=workers.pipeline_options())
        with _quiet():
            self.download_and_prepare(download_config=config)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.resolution
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(size, size, 1), dtype=np.uint8, encoding="zlib"),
                "labels": tfds.features.Tensor(shape=(size, size, len(self.classes)), dtype=np.uint8, encoding="zlib"),
                "shown": tfds.features.Tensor(shape=(len(self.classes),), dtype=np.bool_),
                "axis": tfds.features.Text(),
                "modality": tfds.features.Text(),
                "name": tfds.features.Text(),
                "subject": tfds.features.Text(),
            }
        )
        return _LocalInfo(builder=self, features=features)

    def _split_generators(self, dl_manager) -> dict:
        return {split: self._generate_examples(items) for split, items in self.splits.items() if items}

    def _generate_examples(self, items: Sequence[StagedItem]):
        examples = partial(_examples, resolution=self.resolution, classes=self.classes)
        if isinstance(self._workers, Beam):
            return self._workers.flat_map(examples, items)
        return (example for item in items for example in examples(item))


def _examples(staged: StagedItem, *, resolution: int, classes: tuple[tuple[int, str], ...]) -> Iterator[tuple]:
    item = staged.item
    for i, example in enumerate(staged_slices(staged.outcome, resolution, classes)):
        yield f"{item.name}/{i}", {**example, "name": item.name, "subject": item.subject}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the download messages and progress bars of TFDS."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()


RESOLUTIONS = (64, 128, 256)
FORMAT = 1  # raised when preprocessing changes, so that work of an older version is not used


@dataclass(frozen=True)
class Outcome:
    """Result of staging one item.

    Attributes:
        problem: reason why the item is unusable, or "".
        classes: (value, name) of its classes, in the order of the stored maps.
        warnings: messages of the warnings raised while it was read.
    """

    problem: str = ""
    classes: tuple[tuple[int, str], ...] = ()
    warnings: tuple[str, ...] = ()


def work_key(source: Source, item: Item) -> str:
    """Return a name for finished work. It changes with files, options and preprocessing."""
    files = [(file.name, *content_version(file)) for file in item.files]
    made_from: tuple[object, ...] = (
        FORMAT,
        source.read.func.__qualname__,
        source.read.keywords,
        item.name,
        item.part,
        files,
    )
    if source.one_class:
        made_from += (source.one_class,)
    if source.regions or source.ignore is not None:
        made_from += (dict(source.regions), source.ignore)
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:32]


def stage(source: Source, folder: Path, item: Item) -> Outcome:
    """Read an item and write its slices into `folder`, or return the outcome of an earlier run.

    An item that had a problem is tried again.
    """
    file = folder / f"{work_key(source, item)}.json"
    finished = read_outcome(file)
    if finished and not finished.problem:
        return finished
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            scans = source.scans(item)
            arrays = _arrays(scans, item.name)
            classes = tuple((value, scans[0].class_names.get(value, str(value))) for value in class_values(scans[0]))
            outcome = Outcome(classes=classes)
        except InputError as error:
            outcome = Outcome(problem=str(error))
        except Exception as error:  # damaged files raise almost anything, and one must not end the run
            outcome = Outcome(problem=f"{item.files[0]}: cannot be used ({type(error).__name__}: {error})")
    if not outcome.problem:
        outcome = Outcome(classes=classes, warnings=tuple(sorted({str(w.message) for w in caught})))
        _write(file.with_suffix(".npz"), lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]
    # The outcome is written last, so it proves that the slices are complete.
    _write(file, lambda stream: stream.write(json.dumps(asdict(outcome)).encode()))
    return outcome


def read_outcome(file: Path) -> Outcome | None:
    """Read the outcome in a file, or return None without one."""
    if not file.exists():
        return None
    try:
        stored = read_json(file)
        classes = tuple((int(value), str(name)) for value, name in stored["classes"])
        return Outcome(str(stored["problem"]), classes, tuple(map(str, stored["warnings"])))
    except (InputError, KeyError, TypeError, ValueError):  # a machine that lost its power leaves empty files
        return None


def finished_outcome(file: Path) -> Outcome:
    """Read the outcome in a file.

    Raises:
        InputError: the file is gone or damaged.
    """
    outcome = read_outcome(file)
    if outcome is None:
        raise InputError(f"{file}: finished work is gone or damaged; run the same command again")
    return outcome


def staged_slices(file: Path, resolution: int, classes: tuple[tuple[int, str], ...]) -> Iterator[dict]:
    """Yield the slices of a finished item, with one label map for each class of the dataset."""
    present = finished_outcome(file).classes
    positions = [classes.index(own) for own in present]
    with np.load(file.with_suffix(".npz"), allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in ("axis", "modality", "middle", "shown")}
        images, labels = arrays[f"image_{resolution}"], arrays[f"labels_{resolution}"]
    for i, (image, maps) in enumerate(zip(images, labels, strict=True)):
        stacked: np.ndarray = np.zeros((resolution, resolution, len(classes)), np.uint8)
        stacked[..., positions] = maps
        shown = np.full(len(classes), columns["middle"][i])
        shown[positions] = columns["shown"][i]
        yield {
            "image": image,
            "labels": stacked,
            "shown": shown,
            "axis": str(columns["axis"][i]),
            "modality": str(columns["modality"][i]),
        }


def _arrays(scans: list[Scan], name: str) -> dict[str, np.ndarray]:
    chosen = [(scan.modality, piece) for scan in scans for piece in slices(scan, name)]
    arrays = {
        "modality": np.array([modality for modality, _ in chosen]),
        "axis": np.array([piece.axis for _, piece in chosen]),
        "middle": np.array([piece.middle for _, piece in chosen]),
        "shown": np.stack([piece.shown for _, piece in chosen]),
    }
    for size in RESOLUTIONS:
        resized = np.stack([resize(piece.planes, piece.spacing, size) for _, piece in chosen])
        stored = np.round(255 * resized).astype(np.uint8)
        arrays |= {f"image_{size}": stored[..., :1], f"labels_{size}": stored[..., 1:]}
    return arrays


def _write(file: Path, write) -> None:
    with whole_file(file) as unfinished, unfinished.open("wb") as stream:
        write(stream)
