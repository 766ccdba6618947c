"""Find images and their masks: in which folders they lie, and which mask belongs to which image."""

import re
from collections.abc import Iterable
from pathlib import Path

from universeg_jax.errors import InputError

IMAGE_FOLDERS = ("images", "imagesTr", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "labelsTr", "labels", "label", "mask")
_MASK = "mask|masks|label|labels|lbl|seg|segmentation|gt|groundtruth|annotation"
_MASK_NAME = re.compile(rf"^(?:{_MASK})(?:[_-]+(?=.)|(?=\d))|[_-](?:{_MASK})$", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"^(?:img|image|im)(?:[_-]+(?=.)|(?=\d))|[_-](?:img|image|0000)$", re.IGNORECASE)


def find_folders(folder: Path) -> tuple[Path, Path] | None:
    """Find the folder of images and the folder of masks in a dataset; None where one is missing.

    Raises:
        InputError: two folders that may both be the one.
    """
    found = []
    for names in (IMAGE_FOLDERS, MASK_FOLDERS):
        there = [folder / name for name in names if (folder / name).is_dir()]
        if len(there) > 1:
            raise InputError(
                f"{folder}: holds both {there[0].name}/ and {there[1].name}/; rename or remove the one not to be read"
            )
        found += there
    return (found[0], found[1]) if len(found) == 2 else None


def is_mask_name(name: str) -> bool:
    """Tell whether a file name marks a mask: "a_mask", "label0001"."""
    return bool(_MASK_NAME.search(name))


def pair_names(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Pair names of images with names of masks (both without extension).

    Equal names are pairs. Of the rest, names are pairs that are equal without their prefix or suffix: "img0001" and
    "label0001", "a" and "a_mask", "a_0000" and "a".

    Returns:
        Names of masks by names of images, for images that have a mask.

    Raises:
        InputError: names of which several have one pair.
    """
    images, masks = list(images), list(masks)
    pairs = {name: name for name in images if name in set(masks)}
    rest: dict[str, list[str]] = {}
    for name in masks:
        if name not in pairs:
            rest.setdefault(_MASK_NAME.sub("", name).lower(), []).append(name)
    taken: dict[str, str] = {}
    for name in images:
        if name in pairs:
            continue
        key = _IMAGE_NAME.sub("", name).lower()
        found = rest.get(key) or rest.get(name.lower()) or []
        if len(found) > 1:
            raise InputError(f"the image {name} may belong to the mask {found[0]} or {found[1]}; rename one of them")
        if found:
            other = taken.setdefault(found[0], name)
            if other != name:
                raise InputError(f"the mask {found[0]} may belong to the image {other} or {name}; rename one of them")
            pairs[name] = found[0]
    return pairs
