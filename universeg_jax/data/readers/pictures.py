"""Read a folder of images and masks.

SOURCE/images/a.png b.jpg ...   grey or colour; or imagesTr/, with a_0000.png, a_0001.png, ... one file per channel
SOURCE/masks/a.png b.png ...    of the same names; values, palette indices or colours are classes; or labelsTr/, labels/
SOURCE/classes.json             optional, names of classes: {"1": "nucleus"}; colours are "#ff0000"
SOURCE/dataset.json             optional, names of channels and classes, as in nnU-Net

Images and masks may also lie in one folder, as a.png and a_mask.png, or img0001.png and label0001.png.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from universeg_jax.data.readers.source import Item, Scan, Source, pair_up, read_dataset_json
from universeg_jax.errors import InputError
from universeg_jax.io.masks import ColourCoding, read_mask, values_in
from universeg_jax.io.pairing import IMAGE_FOLDERS, find_folders, is_mask_name
from universeg_jax.io.pictures import EXTENSIONS, read_image
from universeg_jax.io.task_folder import check_same_size, find_pairs, read_class_names
from universeg_jax.segment.preprocess import with_channels
from universeg_jax.util.files import check_regular

_CHANNEL = re.compile(r"_\d{4}$")


def matches(folder: Path) -> bool:
    """Tell whether pictures lie in a folder of images, or in pairs with their masks."""
    if any(_has_pictures(folder / name) for name in IMAGE_FOLDERS):
        return True
    masks = [file for file in folder.glob("*.*") if file.suffix.lower() in EXTENSIONS and is_mask_name(file.stem)]
    return bool(masks) and len(masks) < sum(file.suffix.lower() in EXTENSIONS for file in folder.glob("*.*"))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find the dataset of a folder of images and masks.

    Raises:
        InputError: folders without pictures, names that cannot be paired, or a table of names of another form.
    """
    about = read_dataset_json(folder / "dataset.json")
    names = {str(value): name for value, name in about.class_names.items()}
    names |= read_class_names(folder / "classes.json")
    images, masks = find_pairs(folder)
    files: dict[str, tuple[Path, ...]] = {name: (file,) for name, file in images.items()}
    if len(about.channels) > 1 and all(_CHANNEL.search(name) for name in images):
        files, masks = _by_channel(images, masks)
    reader = partial(
        read_pair,
        modality=modality or "image",
        class_names=names,
        coloured=any(_is_coloured(mask) for mask in masks.values()),
    )
    if about.regions:
        reader = partial(reader, numbered=about.class_names)
    folders = find_folders(folder)
    return [
        Source(
            folder.resolve().name,
            "images",
            folder,
            pair_up(files, masks),
            partial(reader, channels=about.channels) if folders and len(about.channels) > 1 else reader,
            regions=about.regions,
            ignore=about.ignore,
            origin=about.origin,
            version=about.version,
            licence=about.licence,
        )
    ]


def read_pair(
    item: Item,
    *,
    modality: str,
    class_names: dict[str, str],
    coloured: bool = False,
    channels: tuple[str, ...] = (),
    numbered: dict[int, str] | None = None,
) -> list[Scan]:
    """Read one image and its mask.

    Args:
        class_names: names of classes by their value in the mask: "1", or "#ff0000".
        coloured: whether colours are the classes of this dataset, grey ones included.
        channels: names of the channels, where they lie in files of their own; each gives one scan.
        numbered: names of the regions of a mask by their number, in place of `class_names`.
    """
    *image_files, mask_file = item.files
    if len(image_files) != max(1, len(channels)):
        raise InputError(f"{image_files[0]}: has {len(image_files)} channels, not {len(channels)} ({channels})")
    images, mask = [read_picture(file) for file in image_files], read_mask(mask_file)
    for file, image in zip(image_files, images, strict=True):
        check_same_size(mask_file, mask.values, file, image)
    labels = values_in(mask, ColourCoding()) if coloured else mask.values
    coding = ColourCoding() if coloured else mask.coding
    names = {value: class_names.get(coding.name(value), coding.name(value)) for value in np.unique(labels).tolist()}
    modalities = channels or (modality,)
    return [Scan(image, labels, numbered or names, one) for image, one in zip(images, modalities, strict=True)]


def read_picture(file: Path) -> np.ndarray:
    """Read one picture as grey intensities (H,W)."""
    image = read_image(file)
    return with_channels(image.reshape(*image.shape[:2], -1), 1)[..., 0]


def _has_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in EXTENSIONS for file in folder.glob("*.*"))


def _by_channel(images: dict[str, Path], masks: dict[str, Path]) -> tuple[dict[str, tuple[Path, ...]], dict[str, Path]]:
    """Group the files a_0000, a_0001, ... as channels of a, whose mask is a."""
    grouped: dict[str, tuple[Path, ...]] = {}
    for name, file in images.items():
        owner = _CHANNEL.sub("", name)
        grouped[owner] = (*grouped.get(owner, ()), file)
    return grouped, {_CHANNEL.sub("", name) if name in images else name: file for name, file in masks.items()}


def _is_coloured(mask: Path) -> bool:
    try:
        check_regular(mask)
        with Image.open(mask) as picture:
            if picture.mode in ("1", "L", "P", "I", "F") or picture.mode.startswith("I;16"):
                return False  # the header shows it, so that not every mask is decoded twice
        return isinstance(read_mask(mask).coding, ColourCoding)
    except (InputError, OSError):
        return False  # reported when the mask is read
