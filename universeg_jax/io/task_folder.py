"""A task as it lies on disk: a support folder, target images and, where they are known, their masks.

SUPPORT/images/a.png b.jpg ...      the labelled examples
SUPPORT/masks/a.png b.png ...       their masks, matched by name without extension
SUPPORT/classes.json                optional, names of classes: {"1": "nucleus"}; colours are "#ff0000"
IMAGES/x.png ...                    the images to segment, or one file
LABELS/x.png ...                    optional, their true masks
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io.masks import MaskCoding, common_coding, read_mask, values_in
from universeg_jax.io.pictures import EXTENSIONS, read_image

SYSTEM_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class SupportFolder:
    """The labelled examples of a task.

    Attributes:
        images: arrays (H,W) or (H,W,3) of any sizes.
        labels: class values (H,W) int32, of the size of their image.
        coding: how the masks write class values.
        class_names: the name of every class value, in ascending order of the values.
    """

    folder: Path
    names: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    coding: MaskCoding
    class_names: dict[int, str]


@dataclass(frozen=True)
class TargetFile:
    """An image to segment, and the file of its true mask where there is one."""

    name: str
    image: Path
    label: Path | None = None


def list_pictures(folder: Path) -> dict[str, Path]:
    """The picture files of a folder by their name without extension, sorted.

    Hidden files are passed over; other files too, with a warning.

    Raises:
        InputError: no such folder, no pictures, a folder inside, or two pictures of one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    files = sorted(f for f in folder.iterdir() if f.name[0] != "." and f.name.lower() not in SYSTEM_FILES)
    folders = [f.name for f in files if f.is_dir()]
    if folders:
        raise InputError(f"{folder}: holds the folder {listing(folders)}; pictures must lie directly in {folder.name}/")
    pictures = [f for f in files if f.suffix.lower() in EXTENSIONS]
    others = [f.name for f in files if f not in pictures]
    if not pictures:
        found = f"found {listing(others)}" if others else "it is empty"
        raise InputError(f"{folder}: holds no PNG, JPEG, BMP or TIFF images; {found}")
    if others:
        warnings.warn(f"{folder}: not images, ignored: {listing(others)}", SegmentationWarning, stacklevel=2)
    by_name: dict[str, Path] = {}
    for picture in pictures:
        # Names that differ in case alone would overwrite each other on macOS and Windows.
        other = by_name.setdefault(picture.stem.lower(), picture)
        if other is not picture:
            raise InputError(f"{folder}: {other.name} and {picture.name} have one name; rename or remove one of them")
    return {picture.stem: picture for picture in by_name.values()}


def read_support(folder: Path) -> SupportFolder:
    """Read the labelled examples of a support folder.

    Raises:
        InputError: missing folders, images without mask and masks without image (all are listed), unlike
            sizes, files that `read_image` or `read_mask` refuse, masks that do not go together.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    if not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        raise InputError(f"{folder}: a support folder holds the folders images/ and masks/")
    image_files, mask_files = list_pictures(folder / "images"), list_pictures(folder / "masks")
    lonely = [f"no mask for images/{image_files[n].name}" for n in image_files.keys() - mask_files.keys()]
    lonely += [f"no image for masks/{mask_files[n].name}" for n in mask_files.keys() - image_files.keys()]
    if lonely:
        raise InputError(f"{folder}: images and masks must have the same names: {listing(sorted(lonely))}")

    names = list(image_files)
    images = [read_image(image_files[name]) for name in names]
    masks = [read_mask(mask_files[name]) for name in names]
    for name, image, mask in zip(names, images, masks, strict=True):
        check_same_size(mask.path, mask.values, image_files[name], image)
    coding = common_coding(masks)
    labels = [values_in(mask, coding) for mask in masks]
    return SupportFolder(folder, names, images, labels, coding, _class_names(folder, labels, coding))


def find_targets(images: Path, labels: Path | None = None) -> list[TargetFile]:
    """The images to segment (a folder, or one file) and the masks of the same names in the folder `labels`.

    Raises:
        InputError: what `list_pictures` refuses, and images without a mask (all are listed).
    """
    if images.is_file():
        image_files = {images.stem: images}
    elif images.exists():
        image_files = list_pictures(images)
    else:
        raise InputError(f"{images}: there is no such file or folder")
    if labels is None:
        return [TargetFile(name, file) for name, file in image_files.items()]
    label_files = list_pictures(labels)
    missing = [file.name for name, file in image_files.items() if name not in label_files]
    if missing:
        raise InputError(f"{labels}: holds no mask of the same name for {listing(missing)}")
    return [TargetFile(name, file, label_files[name]) for name, file in image_files.items()]


def read_target(target: TargetFile, support: SupportFolder) -> tuple[np.ndarray, np.ndarray | None]:
    """The image of a target and, where it is known, its label: class values (H,W) int32.

    Raises:
        InputError: unreadable files, unlike sizes, a label with classes that the support lacks.
    """
    image = read_image(target.image)
    if target.label is None:
        return image, None
    mask = read_mask(target.label)
    check_same_size(target.label, mask.values, target.image, image)
    label = values_in(mask, support.coding)
    unknown = set(np.unique(label).tolist()) - set(support.class_names)
    if unknown:
        raise InputError(
            f"{target.label}: holds the classes {listing([support.coding.name(v) for v in sorted(unknown)])}, but the "
            f"masks of the support hold only {listing([support.coding.name(v) for v in support.class_names])}"
        )
    return image, label


def check_same_size(mask_file: Path, mask: np.ndarray, image_file: Path, image: np.ndarray) -> None:
    """Refuse a mask that does not lie pixel on pixel over its image."""
    if mask.shape != image.shape[:2]:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (mask, image)]
        raise InputError(
            f"{mask_file}: is {sizes[0]} (width x height), but the image {image_file} is {sizes[1]}; "
            "a mask must have the size of its image"
        )


def read_class_names(file: Path) -> dict[str, str]:
    """The table of a classes.json, {} without one."""
    if not file.exists():
        return {}
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error})") from None
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given.values()):
        raise InputError(f'{file}: must map class values to names, as in {{"1": "nucleus"}}')
    return {value.lower(): name for value, name in given.items()}


def _class_names(folder: Path, labels: Sequence[np.ndarray], coding: MaskCoding) -> dict[int, str]:
    values = sorted(set().union(*(np.unique(label).tolist() for label in labels)))
    file = folder / "classes.json"
    given = read_class_names(file)
    names = {value: given.get(coding.name(value), coding.name(value)) for value in values}
    if len(set(names.values())) < len(names):
        raise InputError(f"{file}: gives two classes one name: {listing(list(names.values()))}")
    return names
