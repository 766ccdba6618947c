"""What every reader hands over: a source lists its items, and reads one of them as scans.

All that follows (intensities, slices, sizes, splits, storage) is common to all sources.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

AXES = ("sagittal", "coronal", "axial")  # what slicing along x, y and z of a right-anterior-superior volume gives
PICTURE_AXIS = "2d"


@dataclass(frozen=True)
class Item:
    """The files of one scan.

    Attributes:
        name: unique in its source.
        subject: whom it shows; the name where that is unknown.
        files: what is read, and by whose size and time finished work is recognised.
        part: which image of the files, where they hold several.
        problem: why it cannot be read, where the list of files alone tells.
    """

    name: str
    subject: str
    files: tuple[Path, ...]
    part: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Scan:
    """A labelled picture or volume.

    Attributes:
        image: (H,W), or (X,Y,Z) with x to the right, y to the front and z to the head of the patient.
        labels: class values, integers of the same shape; 0 is background.
        class_names: names of class values; a value that is missing here is called by its number.
        modality: "CT", "MR", "image", ...
        spacing: millimetres per voxel; None for pictures, whose pixels are taken as square.
        axes: along which of `AXES` a volume is sliced.
    """

    image: np.ndarray
    labels: np.ndarray
    class_names: dict[int, str]
    modality: str
    spacing: tuple[float, float, float] | None = None
    axes: tuple[str, ...] = AXES


@dataclass(frozen=True)
class Source:
    """A dataset as its owner distributes it.

    Attributes:
        name: what it is called in the corpus.
        kind: the layout it was read as.
        folder: where it lies.
        items: its scans, in a fixed order.
        read: reads one item, one scan per modality, all with the same labels; it raises InputError for what cannot be
            used. A partial of a module's function: it is sent to workers, and its options tell finished work apart.
        subjects_known: whether items of one subject can be told.
        one_class: what all classes are taken as, where they are kinds of one structure, such as the diagnoses of a
            lesion; "" keeps them apart.
        origin, version, licence: recorded with the dataset; "" where unknown.
    """

    name: str
    kind: str
    folder: Path
    items: tuple[Item, ...]
    read: partial[list[Scan]]
    subjects_known: bool = False
    one_class: str = ""
    origin: str = ""
    version: str = ""
    licence: str = ""

    def scans(self, item: Item) -> list[Scan]:
        """An item, read; its classes are those that the corpus has.

        Raises:
            InputError: for what cannot be used.
        """
        scans = self.read(item)
        if not self.one_class:
            return scans
        names = {1: self.one_class}
        return [replace(scan, labels=(scan.labels != 0).astype(np.uint8), class_names=names) for scan in scans]
