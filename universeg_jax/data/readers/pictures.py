"""A folder of images and masks.

SOURCE/images/a.png b.jpg ...   grey or colour
SOURCE/masks/a.png b.png ...    of the same names; values, palette indices or colours are classes
SOURCE/classes.json             optional, names of classes: {"1": "nucleus"}; colours are "#ff0000"
"""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from universeg_jax.data.readers.source import Item, Scan, Source, pair_up
from universeg_jax.errors import InputError
from universeg_jax.io.masks import ColourCoding, read_mask, values_in
from universeg_jax.io.pictures import read_image
from universeg_jax.io.task_folder import check_same_size, list_pictures, read_class_names
from universeg_jax.segment.preprocess import with_channels
from universeg_jax.util.files import check_regular


def matches(folder: Path) -> bool:
    """Whether files lie directly in images/; that masks/ is missing is better said of this layout than of none."""
    return any((folder / "images").glob("*.*"))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """The dataset of a folder of images and masks.

    Raises:
        InputError: folders without pictures, or a classes.json that is no table of names.
    """
    images, masks = list_pictures(folder / "images"), list_pictures(folder / "masks")
    reader = partial(
        read_pair,
        modality=modality or "image",
        class_names=read_class_names(folder / "classes.json"),
        coloured=any(_is_coloured(mask) for mask in masks.values()),
    )
    items = pair_up({name: (file,) for name, file in images.items()}, masks)
    return [Source(folder.resolve().name, "images", folder, items, reader)]


def read_pair(item: Item, *, modality: str, class_names: dict[str, str], coloured: bool = False) -> list[Scan]:
    """Read one image and its mask.

    Args:
        class_names: names of classes by how the mask writes them: "1", or "#ff0000".
        coloured: whether colours are the classes of this dataset, grey ones included.
    """
    image_file, mask_file = item.files
    image, mask = read_picture(image_file), read_mask(mask_file)
    check_same_size(mask_file, mask.values, image_file, image)
    labels = values_in(mask, ColourCoding()) if coloured else mask.values
    coding = ColourCoding() if coloured else mask.coding
    names = {value: class_names.get(coding.name(value), coding.name(value)) for value in np.unique(labels).tolist()}
    return [Scan(image, labels, names, modality)]


def read_picture(file: Path) -> np.ndarray:
    """One picture as grey intensities (H,W)."""
    image = read_image(file)
    return with_channels(image.reshape(*image.shape[:2], -1), 1)[..., 0]


def _is_coloured(mask: Path) -> bool:
    try:
        check_regular(mask)
        with Image.open(mask) as picture:
            if picture.mode in ("1", "L", "P", "I", "F") or picture.mode.startswith("I;16"):
                return False  # told from the header, so that not every mask is decoded twice
        return isinstance(read_mask(mask).coding, ColourCoding)
    except (InputError, OSError):
        return False  # reported when its turn comes
