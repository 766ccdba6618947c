"""Parts of all readers: a source lists its items and reads each as scans, and a dataset.json describes a dataset.

Later steps (intensities, slices, sizes, splits, storage) are the same for every source. nnU-Net and the Medical
Segmentation Decathlon have a dataset.json.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.mask_values import check_class_count
from universeg_jax.io.volumes import AXES, Volume, check_finite_voxels, class_labels, place_on
from universeg_jax.util.checks import check_name, is_number
from universeg_jax.util.json_files import read_json

PICTURE_AXIS = "2d"


@dataclass(frozen=True)
class Item:
    """Files of one scan.

    Attributes:
        name: unique in its source.
        subject: the person or specimen; the name if it is unknown.
        files: the files that are read. Their sizes and times identify finished work.
        part: index of the image, where the files hold several.
        split: "train", "validation" or "test", if the dataset has its own splits; else "".
        problem: reason why the item cannot be read, if the list of files shows it.
    """

    name: str
    subject: str
    files: tuple[Path, ...]
    part: int = 0
    split: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Scan:
    """Labelled picture or volume.

    Attributes:
        image: (H,W), or (X,Y,Z) with x to the right, y to the front and z to the head of the patient.
        labels: class values, integers of the same shape; 0 is background.
        class_names: names of class values; a missing value is named by its number.
        modality: "CT", "MR", "image", ...
        spacing: millimetres per voxel; None for pictures, which have square pixels.
        axes: the `AXES` along which a volume is sliced.
        regions: label values of each class, where classes are unions of labels and may overlap; {} where each label
            value is a class.
    """

    image: np.ndarray
    labels: np.ndarray
    class_names: dict[int, str]
    modality: str
    spacing: tuple[float, float, float] | None = None
    axes: tuple[str, ...] = AXES
    regions: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def classes(self) -> list[int]:
        """Classes in the labels, ascending, without background (0)."""
        values = [value for value in np.unique(self.labels).tolist() if value != 0]
        if not self.regions:
            return values
        return [value for value, members in self.regions.items() if set(members) & set(values)]

    def members(self, value: int) -> tuple[int, ...]:
        """Label values that belong to a class."""
        return self.regions.get(value, (value,))


@dataclass(frozen=True)
class Source:
    """Dataset in the layout of its owner.

    Attributes:
        name: its name in the corpus.
        kind: the layout it was read as.
        folder: its place on disk.
        items: its scans, in a fixed order.
        read: function that reads one item as one scan per modality, all with the same labels. It raises InputError for
            an unusable item. It is a partial of a module's function, because workers receive it, and its options
            identify finished work.
        subjects_known: whether items of one subject can be recognised.
        regions: label values of each class, as in `Scan`.
        ignore: label value of pixels that were not annotated; None without it. Scans with such pixels are refused.
        one_class: name of the single class that replaces all classes, where they are kinds of one structure, such as
            diagnoses of a lesion; "" keeps the classes apart.
        origin, version, licence: recorded with the dataset; "" if unknown.

    Raises:
        InputError: a name for `one_class` that cannot be stored.
    """

    name: str
    kind: str
    folder: Path
    items: tuple[Item, ...]
    read: partial[list[Scan]]
    subjects_known: bool = False
    regions: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    one_class: str = ""
    origin: str = ""
    version: str = ""
    licence: str = ""

    def __post_init__(self):
        if self.one_class:
            check_name(self.one_class, "--one-class")

    def scans(self, item: Item) -> list[Scan]:
        """Read an item, with the classes that a corpus stores.

        Raises:
            InputError: an unusable item, pixels that were not annotated, or more values than classes.
        """
        if item.problem:
            raise InputError(item.problem)
        scans = self.read(item)
        ignored = 0 if self.ignore is None else int(np.count_nonzero(scans[0].labels == self.ignore))
        if ignored:
            raise InputError(
                f"{item.files[-1]}: {ignored} pixels have the value {self.ignore}, which dataset.json names 'ignore'; "
                "partly annotated masks cannot be used"
            )
        if not self.one_class:
            unnamed = [v for v in scans[0].classes if scans[0].class_names.get(v, str(v)) in (str(v), f"#{v:06x}")]
            check_class_count(unnamed, str(item.files[-1]))
            return [replace(scan, regions=self.regions) for scan in scans]
        names = {1: self.one_class}
        return [replace(scan, labels=(scan.labels != 0).astype(np.uint8), class_names=names) for scan in scans]


def pair_up(images: Mapping[str, tuple[Path, ...]], masks: Mapping[str, Path]) -> tuple[Item, ...]:
    """Pair images and masks of the same name, sorted by name.

    An unpaired file becomes an item with a problem, so that it is reported like a broken file.

    Args:
        images: the files of each image, by name.
        masks: the file of each mask, by name.

    Returns:
        One item per name. Its files are the files of the image, then the mask.
    """
    items = []
    for name in sorted(images.keys() | masks.keys()):
        if name not in masks:
            items.append(Item(name, name, images[name], problem=f"{images[name][0]}: there is no mask of this name"))
        elif name not in images:
            items.append(Item(name, name, (masks[name],), problem=f"{masks[name]}: there is no image of this name"))
        else:
            items.append(Item(name, name, (*images[name], masks[name])))
    return tuple(items)


def volume_scan(
    image: Volume, mask: Volume, class_names: dict[int, str], modality: str, *, axes: tuple[str, ...] = AXES
) -> Scan:
    """Make a scan of a volume and its mask, turned upright together.

    Raises:
        InputError: NaN or infinity, masks that hold no classes or do not lie on the image voxel by voxel.
    """
    check_finite_voxels(image)
    mask = place_on(class_labels(mask), image)
    orientation = image.orientation
    image, mask = image.turned(orientation), mask.turned(orientation)
    return Scan(image.voxels.astype(np.float32), mask.voxels, class_names, modality, image.spacing, axes)


TABLES = ("labels", "modality", "channel_names")
IGNORE = "ignore"  # nnU-Net's name of pixels that were not annotated
BACKGROUND = "background"


@dataclass(frozen=True)
class DatasetJson:
    """Contents of a dataset.json; everything is empty without one.

    Attributes:
        channels: names of the channels, such as "CT" or "MR", in their order.
        class_names: names of class values.
        regions: for nnU-Net's region labels, the mask values of each class value. Regions may overlap.
        ignore: mask value of pixels that were not annotated; None without it.
        licence, origin, version: as stated.
    """

    channels: tuple[str, ...] = ()
    class_names: dict[int, str] = field(default_factory=dict)
    regions: dict[int, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    licence: str = ""
    origin: str = ""
    version: str = ""


def read_dataset_json(file: Path) -> DatasetJson:
    """Read a dataset.json, if there is one.

    Raises:
        InputError: a file that cannot be read, or with labels or channels of unknown form.
    """
    if not os.path.lexists(file):
        return DatasetJson()
    about = read_json(file)
    if not isinstance(about, dict) or not all(isinstance(about.get(name, {}), dict) for name in TABLES):
        raise InputError(f"{file}: must be a table whose {', '.join(TABLES)} are tables")
    for name in TABLES[1:]:
        if not all(is_number(key) for key in about.get(name, {})):
            raise InputError(f'{file}: {name} must number the channels, as in {{"0": "CT"}}; it is {about[name]}')
    members = {name: values for name, values in _members(file, about.get("labels", {})).items() if values != (0,)}
    ignored = members.pop(IGNORE, (None,))[0]
    regions = any(len(values) > 1 for values in members.values())
    return DatasetJson(
        _named(about.get("channel_names", about.get("modality")) or {}),
        {i if regions else values[0]: name for i, (name, values) in enumerate(members.items(), start=1)},
        dict(enumerate(members.values(), start=1)) if regions else {},
        ignored,
        str(about.get("licence", about.get("license", ""))),
        str(about.get("reference", "")),
        str(about.get("release", "")),
    )


def _members(file: Path, labels: dict) -> dict[str, tuple[int, ...]]:
    """List the values of each name. The Decathlon writes {"1": "liver"}, nnU-Net {"liver": 1} or {"whole": [1, 2]}."""
    decathlon = all(isinstance(name, str) and is_number(value) for value, name in labels.items())
    pairs = [(name, value) for value, name in labels.items()] if decathlon else list(labels.items())
    members = {}
    for name, given in pairs:
        values = given if isinstance(given, list) else [given]
        if not values or not all(isinstance(v, int) or is_number(v) for v in values):
            raise InputError(f"{file}: the label {name!r} must be a number or a list of numbers; it is {given!r}")
        members[check_name(name, str(file))] = tuple(sorted({int(value) for value in values}))
    return members


def _named(channels: dict) -> tuple[str, ...]:
    names = [str(name) for _, name in sorted(channels.items(), key=lambda entry: int(entry[0]))]
    return tuple("MR" if name == "MRI" else name for name in names)
