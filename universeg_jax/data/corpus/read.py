"""What models learn from: tasks, their examples, and the prepared corpus that holds them.

CORPUS/NAME/dataset.json    where the dataset is from, its licence, classes, splits and counts
CORPUS/NAME/index.npz       subject, split, modality, axis and label areas of every image
CORPUS/NAME/sheet.png       a picture of every task
CORPUS/NAME/64 128 256/     the images, as tensorflow-datasets stores them, in array_record
"""

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.util.json_files import read_json


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
    """One labelled image of a task, and where to find it.

    Attributes:
        image: index into the dataset's source.
        subject: whom it shows; unique to the image where subjects are unknown.
        split: "train", "validation" or "test".
        area: mean of the label map, in [0,1].
    """

    image: int
    subject: str
    split: str
    area: float


class Corpus:
    """A folder of prepared datasets, read only.

    Attributes:
        datasets: their names, sorted.
        tasks: those with at least one image that shows the label, sorted by name.

    Raises:
        InputError: no such folder, no datasets in it, or a resolution that they lack.
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
        for name in self.datasets:
            index = _read_index(self.folder / name / "index.npz")
            self._examples |= tasks_of(name, self.about[name]["classes"], index)
        self.tasks: tuple[CorpusTask, ...] = tuple(sorted(self._examples, key=lambda task: task.name))

    def examples(self, task: CorpusTask, split: str | None = None, *, minimum_area: float = 0.0) -> tuple[Example, ...]:
        """The examples of a task in one split, or in all, whose label covers `minimum_area` of the image or more."""
        if task not in self._examples:
            raise InputError(f"{self.folder}: holds no task {task.name}")
        return tuple(e for e in self._examples[task] if split in (None, e.split) and e.area >= minimum_area)

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and label map of one example, (H,W,1) float32 in [0,1]."""
        stored = self.source(task.dataset)[image]
        label = self.about[task.dataset]["classes"].index(task.label)
        pair = stored["image"], stored["labels"][..., label : label + 1]
        return tuple(array.astype(np.float32) / 255 for array in pair)

    def source(self, dataset: str):
        """The stored images of a dataset: a `len`, and items by index.

        An item holds image (H,W,1) uint8, labels (H,W,K) uint8 (255 is 1), shown (K,) bool (the classes it was
        chosen for), and axis, modality, name and subject as bytes.
        """
        return open_images(self.folder / dataset, self.resolution)


_OPENING = threading.Lock()


@cache
def open_images(folder: Path, resolution: int):
    """The stored images of the dataset in a folder."""
    # One thread at a time: tensorflow-datasets imports its parts when they are first used, and two threads that do so
    # can wait for each other for ever.
    with _OPENING:
        import tensorflow_datasets as tfds  # takes a second, so only when images are read

        builder = tfds.builder_from_directory(next((folder / str(resolution)).glob("*.*.*")))
        source = builder.as_data_source("all")
        source[0]  # the last parts, those that read
        return source


def tasks_of(dataset: str, classes: list[str], index: dict[str, np.ndarray]) -> dict[CorpusTask, tuple[Example, ...]]:
    """The tasks of a dataset and their examples.

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
    """What a dataset.json tells."""
    return read_json(file, advice="prepare the dataset again")


def _read_index(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {column: archive[column] for column in archive.files}
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise almost anything
        raise InputError(f"{file}: cannot be read ({error}); prepare the dataset again") from None
