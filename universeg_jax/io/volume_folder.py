"""Folders of volumes: labelled ones, and those to segment.

SUPPORT/images/a.nii.gz ...     volumes; or imagesTr/, where a_0000.nii.gz is the image of a.nii.gz
SUPPORT/masks/a.nii.gz ...      masks of the same names; or labels/, labelsTr/
SUPPORT/classes.json            optional, names of classes: {"1": "liver"}; or dataset.json as nnU-Net has it

A volume is a file, or a folder of DICOM slices. A mask is a file, a DICOM SEG, or a folder with one file per structure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, listing
from universeg_jax.io.pairing import EmptySlices, find_folders, pair_names
from universeg_jax.io.task_folder import LABELLING, read_class_names
from universeg_jax.io.volume_files import (
    is_volume,
    list_volumes,
    read_label_volume,
    read_volume,
    structure_names,
    volume_name,
)
from universeg_jax.io.volumes import Volume
from universeg_jax.util.checks import check_name, is_number
from universeg_jax.util.json_files import read_json


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A volume and its class labels.

    Attributes:
        image: the volume.
        labels: (X,Y,Z) class values on its voxels, unsigned integers; 0 is background.
        empty: numbers of the slices along `empty_axis` that a person has confirmed to show nothing.
        empty_axis: axis of these slices.
    """

    image: Volume
    labels: np.ndarray
    empty: Sequence[int] = ()
    empty_axis: str = ""

    def confirmed_empty(self, axis: str) -> Sequence[int]:
        """Return the numbers of the slices along an axis that a person has confirmed to show nothing."""
        return self.empty if axis == self.empty_axis else ()


@dataclass(frozen=True)
class VolumeFile:
    """A volume on disk, and its mask if there is one."""

    name: str
    image: Path
    mask: Path | None = None


@dataclass(eq=False)
class VolumeFolder(Sequence[LabelledVolume]):
    """Labelled volumes of a folder. Each is read when it is needed, and none is kept.

    Attributes:
        folder: folder of the volumes.
        files: image and mask of each.
        class_names: names of class values, as far as files give them; masks that were read add theirs.
        channel: index of the channel to read; None refuses volumes with channels.
    """

    folder: Path
    files: list[VolumeFile]
    class_names: dict[int, str]
    channel: int | None = None
    _structures: tuple[str, ...] = field(default=(), repr=False)
    _empty: EmptySlices = field(default_factory=EmptySlices, repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> LabelledVolume:  # type: ignore[override]  # no slices
        return self.read(self.files[index])

    def read(self, file: VolumeFile) -> LabelledVolume:
        """Read a volume with its mask.

        Raises:
            InputError: files that cannot be read, a mask that does not lie on its image, masks that name classes in
                contradiction.
        """
        if file.mask is None:
            raise InputError(f"{file.image}: has no mask; label it, or move it away")
        image = read_volume(file.image, channel=self.channel)
        mask, names = read_label_volume(file.mask, image, structures=self._structures)
        for value, name in names.items():
            known = self.class_names.setdefault(value, name)
            if known != name and self._given.get(value) is None:
                raise InputError(
                    f"{file.mask}: calls class {value} {name!r}, another mask calls it {known!r}; number the classes "
                    "alike in all masks"
                )
        return LabelledVolume(image, mask.voxels, self._empty.numbers.get(file.name, ()), self._empty.axis)

    def __post_init__(self):
        self._given = dict(self.class_names)


def holds_volumes(folder: Path) -> bool:
    """Tell whether a folder of images and masks holds volumes, by its first image."""
    found = _folders(folder) if folder.is_dir() else None
    return found is not None and bool(_first(found[0]))


def has_volumes(folder: Path) -> bool:
    """Tell whether a folder to be labelled holds volumes, with or without masks, by its first image."""
    return folder.is_dir() and bool(_first(find_volume_folders(folder)[0]))


def find_volume_folders(folder: Path) -> tuple[Path, Path]:
    """Find the folders of volumes and masks in a folder to be labelled. The folder of masks need not exist.

    Raises:
        InputError: two folders that may both hold the images, or the masks.
    """
    found = _folders(folder)
    if found is not None:
        return found
    for images, masks in (("images", "masks"), ("imagesTr", "labelsTr")):
        if (folder / images).is_dir():
            return folder / images, folder / masks
    return folder, folder / "masks"


def list_scans(images: Path, masks: Path) -> dict[str, Path]:
    """List the volumes of a folder by name, without volumes in its folder of masks."""
    return {name: path for name, path in list_volumes(images).items() if not path.is_relative_to(masks)}


def find_mask_files(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Find the masks of volumes by the name of their volume.

    Raises:
        InputError: masks of no volume (all are listed).
    """
    masks = _list_masks(folder) if folder.is_dir() else {}
    pairs = pair_names(names, masks)
    lonely = [masks[name].name for name in masks if name not in pairs.values()]
    if lonely:
        raise InputError(f"{folder}: no volume has the name of {listing(lonely)}; remove or rename the mask")
    return {name: masks[mask] for name, mask in pairs.items()}


def open_volume_folder(folder: Path, *, channel: int | None = None) -> VolumeFolder:
    """Find the labelled volumes of a folder. In one that the page has labelled, volumes without a mask are left out.

    Raises:
        InputError: missing folders, volumes without mask or masks without volume (all are listed).
    """
    found = _folders(folder)
    if found is None:
        raise InputError(
            f"{folder}: a folder of labelled volumes holds images/ and masks/ (or imagesTr/ and labelsTr/)"
        )
    images, masks = list_scans(*found), _list_masks(found[1])
    pairs = pair_names(images, masks)
    if (folder / LABELLING).is_dir():
        images = {name: path for name, path in images.items() if name in pairs}
    lonely = [f"no mask for {found[0].name}/{images[name].name}" for name in images if name not in pairs]
    lonely += [f"no image for {found[1].name}/{masks[name].name}" for name in masks if name not in pairs.values()]
    if lonely:
        raise InputError(f"{folder}: images and masks must have the same names: {listing(lonely)}")
    files = [VolumeFile(name, images[name], masks[pairs[name]]) for name in images]
    structures = sorted(set().union(*(structure_names(file.mask) for file in files if file.mask is not None)))
    return VolumeFolder(folder, files, _class_names(folder), channel, tuple(structures), EmptySlices.read(folder))


def find_volumes(scans: Path, labels: Path | None = None) -> list[VolumeFile]:
    """Find the volumes to segment: one file, one folder of DICOM slices, or a folder of volumes.

    Args:
        scans: file or folder of the volumes; nnU-Net's imagesTs/ too.
        labels: a folder of their true masks, by name.

    Returns:
        [] if there are files, but no volumes.

    Raises:
        InputError: no such file or folder, or volumes without a mask in `labels` (all are listed).
    """
    if not scans.exists():
        raise InputError(f"{scans}: there is no such file or folder")
    found = list_volumes(scans)
    if scans.is_file() and is_volume(scans):
        found = {volume_name(scans): scans}
    if labels is None:
        return [VolumeFile(name, path) for name, path in found.items()]
    if not labels.is_dir():
        raise InputError(f"{labels}: there is no such folder")
    masks = _list_masks(labels)
    pairs = pair_names(found, masks)
    missing = [path.name for name, path in found.items() if name not in pairs]
    if missing:
        raise InputError(f"{labels}: holds no mask of the same name for {listing(missing)}")
    return [VolumeFile(name, path, masks[pairs[name]]) for name, path in found.items()]


def _folders(folder: Path) -> tuple[Path, Path] | None:
    """Find images and masks in two folders, or volumes next to masks/, as the page leaves them."""
    found = find_folders(folder)
    if found is None and (folder / "masks").is_dir() and _first(folder):
        return folder, folder / "masks"
    return found


def _list_masks(folder: Path) -> dict[str, Path]:
    """List masks by name: volumes, and folders of structures, of DICOM files or of pictures."""
    found = {path.name: path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and _files(path)}
    if len(found) < sum(1 for _ in folder.iterdir()):
        found |= {name: path for name, path in list_volumes(folder).items() if path.is_file()}
    return dict(sorted(found.items()))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]


def _first(folder: Path) -> Path | None:
    """Find the first volume of a folder, up to two folders down. A few other files are skipped."""
    entries = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name != "masks")
    for path in entries[:64]:
        if path.is_file() and is_volume(path):
            return path
        if path.is_dir() and (is_volume(path) or any(is_volume(inner) for inner in path.glob("*/"))):
            return path
    return None


def _class_names(folder: Path) -> dict[int, str]:
    """Read names of classes from classes.json, or from a dataset.json of the Decathlon or nnU-Net."""
    names = {int(value): name for value, name in read_class_names(folder / "classes.json").items() if is_number(value)}
    about = folder / "dataset.json"
    if names or not about.exists():
        return names
    read = read_json(about)
    labels = read.get("labels", {}) if isinstance(read, dict) else {}
    if not isinstance(labels, dict):
        raise InputError(f"{about}: its labels must be a table")
    if "ignore" in labels:
        raise InputError(f"{about}: has a label to ignore ({labels['ignore']}); take these voxels out of the masks")
    pairs = [(key, value) if is_number(key) else (str(value), key) for key, value in labels.items()]
    return {int(value): check_name(name, str(about)) for value, name in pairs if is_number(value)}
