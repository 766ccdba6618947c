"""BBBC038: cell nuclei of many microscopes (Data Science Bowl 2018; Caicedo et al., Nature Methods 2019).

SOURCE/stage1_train/ID/images/ID.png
SOURCE/stage1_train/ID/masks/*.png      one nucleus each; all of them are one class
"""

from functools import partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.pictures import read_picture
from universeg_jax.data.readers.source import Item, Scan, Source
from universeg_jax.io.masks import read_mask
from universeg_jax.io.task_folder import check_same_size


def matches(folder: Path) -> bool:
    """Tell whether images with their nuclei are here, or in stage1_train/."""
    pictures = _training_set(folder).glob("*/images/*.png")
    return any(file.stem == file.parents[1].name for file in pictures)


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find the dataset of the annotated images."""
    return [
        Source(
            "bbbc038",
            "bbbc038",
            folder,
            tuple(_item(place) for place in sorted(_training_set(folder).glob("*/images"))),
            partial(_read, modality=modality or "microscopy"),
            origin="https://bbbc.broadinstitute.org/BBBC038",
            licence="CC0",
        )
    ]


def _item(images: Path) -> Item:
    name = images.parent.name
    image, masks = images / f"{name}.png", sorted((images.parent / "masks").glob("*.png"))
    missing = "" if image.is_file() and masks else f"{images.parent}: needs images/{name}.png and masks/*.png"
    return Item(name, name, (image, *masks), problem=missing)


def _read(item: Item, *, modality: str) -> list[Scan]:
    image_file, *mask_files = item.files
    image = read_picture(image_file)
    nuclei = np.zeros(image.shape, np.int32)
    for file in mask_files:
        mask = read_mask(file).values
        check_same_size(file, mask, image_file, image)
        nuclei |= mask > 0
    return [Scan(image, nuclei, {1: "nucleus"}, modality)]


def _training_set(folder: Path) -> Path:
    return folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
