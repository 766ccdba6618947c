"""Read labelled images and volumes of a folder, to evaluate on them without preparing a corpus.

The code of a corpus makes the images square and scales them to [0,1], with soft labels. A corpus holds single slices of
a volume. Here all slices along one axis are kept, and the volume is one case with scores in three dimensions.
"""

import hashlib
import itertools
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from universeg_jax.data.corpus.read import CorpusTask, Example
from universeg_jax.data.corpus.slices import class_values, cut, resize, slices, unit_range
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.data.readers.source import AXES, PICTURE_AXIS, Item, Scan, Source
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import Case
from universeg_jax.io.mask_values import check_same_marks


class FolderData:
    """Dataset of one source in memory, as `Data` without splits.

    Args:
        source: as `find_sources` returns it.
        size: side of the images in pixels.
        axis: "axial", "coronal" or "sagittal", the axis along which volumes are cut. None takes the first that the
            dataset allows, axial first.
        progress: show a progress bar.

    Raises:
        InputError: an item is unreadable, or the images show no class.
    """

    def __init__(self, source: Source, *, size: int = 128, axis: str | None = None, progress: bool = False):
        self._size, self._axis = size, axis
        self._known = source.subjects_known
        self._images: list[np.ndarray] = []  # (size,size,1) uint8
        self._labels: list[dict[str, np.ndarray]] = []  # label maps (size,size,1) uint8 of shown classes
        self._names: list[str] = []
        self._examples: dict[CorpusTask, list[Example]] = {}
        self._cases: dict[CorpusTask, list[Case]] = {}
        scans = []
        for item in tqdm(source.items, desc="reading", unit="file", disable=not progress, leave=False):
            scans += [(item, scan) for scan in self._read(source, item)]
        check_same_marks({item.name: scan.classes for item, scan in scans})
        names = {name: None for _, scan in scans for name in _names(scan)}
        if not names:
            raise InputError(f"{source.folder}: its masks hold background (0) only")
        for item, scan in tqdm(scans, desc="resizing", unit="file", disable=not progress, leave=False):
            add = self._add_picture if scan.spacing is None else self._add_volume
            add(source.name, item, scan, tuple(names))
        self.tasks = tuple(sorted(self._cases, key=lambda task: task.name))

    def examples(self, task: CorpusTask) -> tuple[Example, ...]:
        return tuple(self._examples[task])

    def cases(self, task: CorpusTask) -> tuple[Case, ...]:
        return tuple(self._cases[task])

    def read(self, task: CorpusTask, image: int) -> tuple[np.ndarray, np.ndarray]:
        label = self._labels[image].get(task.label, np.zeros_like(self._images[image]))
        return self._images[image].astype(np.float32) / 255, label.astype(np.float32) / 255

    def name(self, image: int) -> str:
        return self._names[image]

    def subjects_known(self, dataset: str) -> bool:
        return self._known

    def fingerprint(self, dataset: str) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        found = hashlib.sha256()
        for image, labels in zip(self._images, self._labels, strict=True):
            found.update(image.tobytes())
            for name, label in labels.items():
                found.update(name.encode() + label.tobytes())
        for task in self.tasks:  # the subject of a case decides on its support, the spacing on distances
            for case in self._cases[task]:
                found.update(repr((case.name, case.subject, case.spacing)).encode())
        return found.hexdigest()[:12]

    def _read(self, source: Source, item: Item) -> list[Scan]:
        return source.scans(item)

    def _add_picture(self, dataset: str, item: Item, scan: Scan, classes: tuple[str, ...]) -> None:
        if self._axis:
            raise InputError(f"--axis {self._axis}: {item.name} is a picture and has no axis; leave the option out")
        (whole,) = slices(scan, item.name)
        image = self._keep(resize(whole.planes, None, self._size), scan, item.name)
        for name in classes:
            task, area = CorpusTask(dataset, scan.modality, PICTURE_AXIS, name), self._area(image, name)
            self._examples.setdefault(task, []).append(Example(image, item.subject, item.split, area))
            self._cases.setdefault(task, []).append(Case(item.name, item.subject, item.split, (image,), area))

    def _add_volume(self, dataset: str, item: Item, scan: Scan, classes: tuple[str, ...]) -> None:
        allowed = [axis for axis in reversed(AXES) if axis in scan.axes]
        axis = self._axis or allowed[0]
        if axis not in allowed:
            raise InputError(f"--axis {axis}: {item.name} is cut along {', '.join(allowed)}")
        if scan.image.shape != scan.labels.shape:
            raise InputError(f"{item.name}: the image is {scan.image.shape}, its labels {scan.labels.shape}")
        spacings = scan.spacing or (1.0, 1.0, 1.0)
        along, unit, values = AXES.index(axis), unit_range(scan, item.name), class_values(scan)
        images = []
        for index in range(scan.image.shape[along]):
            planes, spacing = cut(scan, unit, axis, index, values)
            images.append(self._keep(resize(planes, spacing, self._size), scan, f"{item.name}, slice {index}"))
        # Side of one pixel of the padded and resized square, in millimetres.
        pixel = max(length * s for length, s in zip(planes.shape[:2], spacing, strict=True)) / self._size
        middle = images[len(images) // 2]
        for name in classes:
            task = CorpusTask(dataset, scan.modality, axis, name)
            areas = {image: self._area(image, name) for image in images}
            largest = max(images, key=areas.__getitem__)
            shown = sorted({middle, largest})
            self._examples.setdefault(task, []).extend(Example(i, item.subject, item.split, areas[i]) for i in shown)
            size = (spacings[along], pixel, pixel)
            case = Case(item.name, item.subject, item.split, tuple(images), areas[largest], size)
            self._cases.setdefault(task, []).append(case)

    def _keep(self, planes: np.ndarray, scan: Scan, name: str) -> int:
        """Store an image and its label maps (size,size,1+K) as a corpus does, and return its index."""
        stored = np.round(255 * planes).astype(np.uint8)
        maps = {name: stored[..., 1 + k : 2 + k] for k, name in enumerate(_names(scan))}
        self._images.append(stored[..., :1])
        self._names.append(name)
        self._labels.append({name: one for name, one in maps.items() if one.any()})
        return len(self._images) - 1

    def _area(self, image: int, name: str) -> float:
        label = self._labels[image].get(name)
        return 0.0 if label is None else float(label.mean(dtype=np.float64) / 255)


def read_folder(
    folder: Path,
    *,
    axis: str | None = None,
    modality: str | None = None,
    subject_pattern: str | None = None,
    one_class: str = "",
    progress: bool = False,
) -> FolderData:
    """Read the labelled images or volumes of a folder.

    Args:
        one_class: name that joins all classes into one; "" keeps them apart.
        axis, modality, subject_pattern, progress: as for `find_sources` and `FolderData`.

    Raises:
        InputError: `find_sources` or `FolderData` refuses the folder, or it holds several datasets.
    """
    sources = find_sources(folder, modality=modality, subject_pattern=subject_pattern)
    if len(sources) > 1:
        names = ", ".join(source.name for source in itertools.islice(sources, 5))
        raise InputError(
            f"{folder}: holds {len(sources)} datasets ({names}, ...); pass one of them, or make a corpus of all with "
            "`universeg-jax prepare`"
        )
    return FolderData(replace(sources[0], one_class=one_class), axis=axis, progress=progress)


def _names(scan: Scan) -> list[str]:
    """Return the names of the classes of a scan, in the order of `class_values`."""
    return [scan.class_names.get(value, str(value)) for value in class_values(scan)]
