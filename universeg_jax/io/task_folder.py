"""Read a task from disk: a support folder, target images and, if they are known, their masks.

SUPPORT/images/a.png b.jpg ...      the labelled examples
SUPPORT/masks/a.png b.png ...       their masks, matched by name without extension (see `pairing`)
SUPPORT/classes.json                optional, names of classes: {"1": "nucleus"}; colours are "#ff0000"
IMAGES/x.png ...                    the images to segment, or one file
LABELS/x.png ...                    optional, their true masks

The images and masks of a support folder may also lie in one folder, as a.png and a_mask.png.
"""

import os
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io.mask_values import check_class_count, check_same_marks
from universeg_jax.io.masks import ColourCoding, MaskCoding, common_coding, read_mask, values_in
from universeg_jax.io.pairing import find_folders, is_mask_name, pair_names
from universeg_jax.io.pictures import EXTENSIONS, is_turned, read_image
from universeg_jax.util.checks import check_file_names, check_name
from universeg_jax.util.files import check_regular
from universeg_jax.util.json_files import read_json

LABELLING = ".universeg"
"""Folder in a support folder that the page keeps its states in."""

SYSTEM_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class SupportFolder:
    """Labelled examples of a task.

    Attributes:
        folder: the folder they were read from.
        names: names of the images.
        images: arrays (H,W) or (H,W,3) of any sizes.
        labels: class values (H,W) int32, of the size of their image.
        coding: coding of the class values in the masks.
        class_names: name of every class value, in ascending order of the values.
    """

    folder: Path
    names: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    coding: MaskCoding
    class_names: dict[int, str]


@dataclass(frozen=True)
class TargetFile:
    """Image to segment, and the file of its true mask if there is one."""

    name: str
    image: Path
    label: Path | None = None


def list_pictures(folder: Path, *, but: Collection[str] = ()) -> dict[str, Path]:
    """List the picture files of a folder by their name without extension, sorted.

    Hidden files are skipped; other files too, with a warning.

    Args:
        but: names of files and folders to skip.

    Raises:
        InputError: no such folder, no pictures, a folder inside, or two pictures of one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    files = sorted(f for f in folder.iterdir() if f.name[0] != "." and f.name.lower() not in (*SYSTEM_FILES, *but))
    folders = [f.name for f in files if f.is_dir()]
    if folders:
        raise InputError(f"{folder}: holds the folder {listing(folders)}; pictures must lie directly in {folder.name}/")
    check_file_names(files)
    pictures = [f for f in files if f.suffix.lower() in EXTENSIONS]
    others = [f.name for f in files if f.suffix.lower() not in EXTENSIONS]
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


def find_pairs(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Find the images of a dataset and their masks: in two folders, or side by side in one.

    Returns:
        Files of images by name, and files of masks by the name of their image; unpaired masks by their own name.

    Raises:
        InputError: no such folder, no masks, folders that `list_pictures` refuses, or names with two possible pairs.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    folders = find_folders(folder)
    if folders:
        images, masks = map(list_pictures, folders)
    elif (folder / "masks").is_dir() and any(file.suffix.lower() in EXTENSIONS for file in folder.iterdir()):
        # Pictures next to the folder of their masks, as the page leaves them.
        images = list_pictures(folder, but=("masks", "classes.json"))
        masks = list_pictures(folder / "masks")
    else:
        if not any(file.suffix.lower() in EXTENSIONS and is_mask_name(file.stem) for file in folder.glob("*.*")):
            raise InputError(
                f"{folder}: must hold the folders images/ and masks/, or pairs such as a.png and a_mask.png"
            )
        pictures = list_pictures(folder)
        masks = {name: file for name, file in pictures.items() if is_mask_name(name)}
        images = {name: file for name, file in pictures.items() if name not in masks}
    try:
        pairs = pair_names(images, masks)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    unpaired = {name: file for name, file in masks.items() if name not in pairs.values()}
    return images, {image: masks[mask] for image, mask in pairs.items()} | unpaired


def read_support(folder: Path) -> SupportFolder:
    """Read the labelled examples of a support folder.

    In a folder labelled by the page, images without a mask are left out. In other folders they are an error.

    Raises:
        InputError: missing folders, images without mask and masks without image (all are listed), different sizes,
            files that `read_image` or `read_mask` refuses, masks that do not fit together.
    """
    image_files, mask_files = find_pairs(folder)
    if (folder / LABELLING).is_dir():
        image_files = {name: file for name, file in image_files.items() if name in mask_files}
    lonely = [f"no mask for {_place(folder, image_files[n])}" for n in image_files.keys() - mask_files.keys()]
    lonely += [f"no image for {_place(folder, mask_files[n])}" for n in mask_files.keys() - image_files.keys()]
    if lonely:
        raise InputError(f"{folder}: images and masks must have the same names: {listing(sorted(lonely))}")

    names = list(image_files)
    images = [read_image(image_files[name]) for name in names]
    masks = [read_mask(mask_files[name]) for name in names]
    for name, image, mask in zip(names, images, masks, strict=True):
        check_same_size(mask.path, mask.values, image_files[name], image)
    coding = common_coding(masks)
    labels = [values_in(mask, coding) for mask in masks]
    found = {str(mask.path): np.unique(label).tolist() for mask, label in zip(masks, labels, strict=True)}
    check_class_count(set().union(*found.values()), str(folder))
    if not isinstance(coding, ColourCoding):
        check_same_marks(found)
    return SupportFolder(folder, names, images, labels, coding, _class_names(folder, labels, coding))


def find_targets(images: Path, labels: Path | None = None) -> list[TargetFile]:
    """Find the images to segment (a folder, or one file) and their masks in the folder `labels`.

    Raises:
        InputError: folders that `list_pictures` refuses, and images without a mask (all are listed).
    """
    if images.is_file():
        check_file_names([images])
        image_files = {images.stem: images}
    elif images.exists():
        if not images.is_dir():
            check_regular(images)
        image_files = list_pictures(images)
    else:
        raise InputError(f"{images}: there is no such file or folder")
    if labels is None:
        return [TargetFile(name, file) for name, file in image_files.items()]
    label_files = list_pictures(labels)
    pairs = pair_names(image_files, label_files)
    missing = [file.name for name, file in image_files.items() if name not in pairs]
    if missing:
        raise InputError(f"{labels}: holds no mask of the same name for {listing(missing)}")
    return [TargetFile(name, file, label_files[pairs[name]]) for name, file in image_files.items()]


def read_target(target: TargetFile, support: SupportFolder) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the image of a target and, if it is known, its label: class values (H,W) int32.

    Raises:
        InputError: unreadable files, different sizes, or a label with classes that the support lacks.
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
    """Refuse a mask that does not cover its image pixel by pixel.

    Warns:
        SegmentationWarning: an image that its EXIF data turn, and a mask of the same size without such data.
    """
    turned = is_turned(image_file) and not is_turned(mask_file)
    if mask.shape != image.shape[:2]:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (mask, image)]
        way_out = "a mask must have the size of its image"
        if turned and mask.shape == image.shape[1::-1]:
            way_out = (
                "the EXIF data of the image turn it, and the mask was drawn on the pixels before: "
                "turn the mask, or remove the EXIF orientation from the image"
            )
        raise InputError(
            f"{mask_file}: is {sizes[0]} (width x height), but the image {image_file} is {sizes[1]}; {way_out}"
        )
    if turned:
        warnings.warn(
            f"{image_file.parent}: EXIF data turn images, but not their masks; look at the overview",
            SegmentationWarning,
            stacklevel=3,
        )


def read_class_names(file: Path) -> dict[str, str]:
    """Read the table of a classes.json; {} if there is no such file."""
    if not os.path.lexists(file):
        return {}
    given = read_json(file)
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given.values()):
        raise InputError(f'{file}: must map class values to names, as in {{"1": "nucleus"}}')
    return {value.lower(): check_name(name, str(file)) for value, name in given.items()}


def _place(folder: Path, file: Path) -> str:
    return str(file.relative_to(folder))


def _class_names(folder: Path, labels: Sequence[np.ndarray], coding: MaskCoding) -> dict[int, str]:
    values = sorted(set().union(*(np.unique(label).tolist() for label in labels)))
    file = folder / "classes.json"
    given = read_class_names(file)
    names = {value: given.get(coding.name(value), coding.name(value)) for value in values}
    if len(set(names.values())) < len(names):
        raise InputError(f"{file}: gives two classes one name: {listing(list(names.values()))}")
    return names
