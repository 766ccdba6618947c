"""Read a prepared corpus: its tasks, their examples, and their images.

CORPUS/NAME/dataset.json    origin, licence, classes, splits and counts of the dataset
CORPUS/NAME/index.npz       subject, split, modality, axis and label areas of every image
CORPUS/NAME/sheet.png       a picture of every task
CORPUS/NAME/64 128 256/     the images, as tensorflow-datasets stores them, in array_record
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.util.files import check_regular
from universeg_jax.util.json_files import read_json

AGAIN = "remove the dataset and prepare it again"


@dataclass(frozen=True)
class CorpusTask:
    """One binary segmentation task: a label of a dataset, seen in one modality along one axis."""

    dataset: str
    modality: str
    axis: str
    label: str

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.modality}/{self.axis}/{self.label}"


@dataclass(frozen=True)
class Example:
    """One labelled image of a task.

    Attributes:
        image: index into the dataset's images.
        subject: person or specimen; unique to the image where subjects are unknown.
        split: "train", "validation" or "test".
        area: mean of the label map, in [0,1].
    """

    image: int
    subject: str
    split: str
    area: float


class LabelledImages(Protocol):
    """Labelled images by task: a `Corpus`, or examples in memory."""

    @property
    def tasks(self) -> tuple[CorpusTask, ...]:
        """Tasks with at least one image that shows the label."""
        ...

    def examples(self, task: CorpusTask, split: str | None = None, *, minimum_area: float = 0.0) -> tuple[Example, ...]:
        """List the examples of a task in one split, or in all, whose label covers at least `minimum_area`."""
        ...

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Read image and label map of one example, (H,W,1) float32 in [0,1]."""
        ...


class Corpus:
    """A folder of prepared datasets, read only.

    Attributes:
        datasets: names of the datasets, sorted.
        tasks: tasks with at least one image that shows the label, sorted by name.

    Raises:
        InputError: no such folder, no datasets in it, damaged files, or a resolution that a dataset lacks.
    """

    def __init__(self, folder: Path | str, *, resolution: int = 128):
        self.folder, self.resolution = Path(folder), resolution
        if not self.folder.is_dir():
            raise InputError(f"{folder}: there is no such folder; make a corpus with `universeg-jax prepare`")
        files = sorted(f for f in self.folder.glob("*/dataset.json") if f.parent.name[0] != ".")
        if not files:
            raise InputError(f"{folder}: holds no prepared datasets; make them with `universeg-jax prepare`")
        self.about: dict[str, dict] = {file.parent.name: read_about(file) for file in files}
        for name, about in self.about.items():
            if resolution not in about["resolutions"]:
                raise InputError(f"resolution={resolution}: {self.folder / name} is stored at {about['resolutions']}")
        self.datasets: tuple[str, ...] = tuple(self.about)
        self._examples: dict[CorpusTask, tuple[Example, ...]] = {}
        self._lengths: dict[str, int] = {}
        for name in self.datasets:
            index = _read_index(self.folder / name / "index.npz", len(self.about[name]["classes"]))
            self._lengths[name] = len(index["shown"])
            self._examples |= tasks_of(name, self.about[name]["classes"], index)
        self.tasks: tuple[CorpusTask, ...] = tuple(sorted(self._examples, key=lambda task: task.name))

    def examples(self, task: CorpusTask, split: str | None = None, *, minimum_area: float = 0.0) -> tuple[Example, ...]:
        """List the examples of a task in one split, or in all, whose label covers at least `minimum_area`."""
        if task not in self._examples:
            raise InputError(f"{self.folder}: holds no task {task.name}")
        return tuple(e for e in self._examples[task] if split in (None, e.split) and e.area >= minimum_area)

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Read image and label map of one example, (H,W,1) float32 in [0,1]."""
        stored, classes = self.source(task.dataset)[image], self.about[task.dataset]["classes"]
        shapes = [np.shape(stored.get(name)) for name in ("image", "labels")]
        sides = (self.resolution, self.resolution)
        if shapes != [(*sides, 1), (*sides, len(classes))]:
            place = self.folder / task.dataset / str(self.resolution)
            raise InputError(f"{place}: holds arrays {shapes}, which do not fit its dataset.json; {AGAIN}")
        label = classes.index(task.label)
        pixels, mask = stored["image"], stored["labels"][..., label : label + 1]
        return pixels.astype(np.float32) / 255, mask.astype(np.float32) / 255

    def source(self, dataset: str) -> "StoredImages":
        """Open the stored images of a dataset.

        An item holds image (H,W,1) uint8, labels (H,W,K) uint8 (255 is 1), shown (K,) bool (the classes it was
        chosen for), and axis, modality, name and subject as bytes.
        """
        images, expected = open_images(self.folder / dataset, self.resolution), self._lengths[dataset]
        if len(images) != expected:
            place = self.folder / dataset / str(self.resolution)
            raise InputError(f"{place}: holds {len(images)} images, its index.npz {expected}; {AGAIN}")
        return images


_OPENING = threading.Lock()


class StoredImages:
    """The images of one dataset at one resolution, read when they are needed.

    Raises:
        InputError: from here and from every access, damaged files; they are named by their folder.
    """

    def __init__(self, folder: Path, resolution: int):
        self._folder = folder / str(resolution)
        # One thread at a time: tensorflow-datasets imports its parts when they are first used, and two threads that do
        # so can wait for each other for ever.
        with _OPENING, self._damage_named():
            import tensorflow_datasets as tfds  # takes a second, so only when images are read

            [place] = self._folder.glob("*.*.*")
            for file in place.iterdir():
                check_regular(file)
            self._source = tfds.builder_from_directory(place).as_data_source("all")
            self._length = len(self._source)
        self[0]  # the last parts, those that read

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        with self._damage_named():
            return self._source[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # tensorflow-datasets and array_record raise almost anything
            detail = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"{self._folder}: is damaged or incomplete ({detail[0][:200]}); {AGAIN}") from None


@cache
def open_images(folder: Path, resolution: int) -> StoredImages:
    """Open the stored images of the dataset in a folder."""
    return StoredImages(folder, resolution)


def tasks_of(
    dataset: str, classes: list[str], index: Mapping[str, np.ndarray]
) -> dict[CorpusTask, tuple[Example, ...]]:
    """Make the tasks of a dataset and their examples.

    Args:
        classes: names of the K label maps.
        index: columns over the N images: subject, split, modality and axis (N,) text, area (N,K) float,
            shown (N,K) bool.
    """
    subjects, splits, areas = (index[column].tolist() for column in ("subject", "split", "area"))
    tasks: dict[CorpusTask, list[Example]] = {}
    for i, k in np.argwhere(index["shown"]).tolist():
        task = CorpusTask(dataset, str(index["modality"][i]), str(index["axis"][i]), classes[k])
        tasks.setdefault(task, []).append(Example(i, subjects[i], splits[i], areas[i][k]))
    return {task: tuple(examples) for task, examples in tasks.items() if any(e.area > 0 for e in examples)}


def read_about(file: Path) -> dict:
    """Read a dataset.json.

    Raises:
        InputError: it is damaged, or lacks what a corpus needs.
    """
    about = read_json(file, advice=AGAIN)
    table = about if isinstance(about, dict) else {}
    classes = table.get("classes")
    if (
        not _is_list_of(int, table.get("resolutions"))
        or not isinstance(classes, list)
        or not _is_list_of(str, classes)
        or len(set(classes)) < len(classes)
        or not isinstance(table.get("fingerprint", ""), str)
    ):
        raise InputError(f"{file}: must be a table with lists of resolutions and of classes; {AGAIN}")
    return table


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is kind for each in value)


def _read_index(file: Path, classes: int) -> dict[str, np.ndarray]:
    """Read and check the columns of an index.npz, as `tasks_of` takes them."""
    check_regular(file)
    try:
        with np.load(file, allow_pickle=False) as archive:
            index = {column: archive[column] for column in ("subject", "split", "modality", "axis", "area", "shown")}
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise almost anything
        raise InputError(f"{file}: cannot be read ({error}); {AGAIN}") from None
    images = len(index["shown"]) if index["shown"].ndim else 0
    expected = {"area": ("f", (images, classes)), "shown": ("b", (images, classes))}
    for column, values in index.items():
        kind, shape = expected.get(column, ("U", (images,)))
        if values.dtype.kind != kind or values.shape != shape:
            raise InputError(f"{file}: {column} is {values.dtype} {values.shape}, must be {shape}; {AGAIN}")
    if not (np.isfinite(index["area"]).all() and (index["area"] >= 0).all() and (index["area"] <= 1).all()):
        raise InputError(f"{file}: areas must be 0 to 1; {AGAIN}")
    return index
