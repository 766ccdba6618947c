"""Find the masks of images: their folders, the mask of each image, and slices of volumes that are known to be empty."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.util.json_files import read_json, write_json

IMAGE_FOLDERS = ("images", "imagesTr", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "labelsTr", "labels", "label", "mask")
_MASK = "mask|masks|label|labels|lbl|seg|segmentation|gt|groundtruth|annotation"
_MASK_NAME = re.compile(rf"^(?:{_MASK})(?:[_-]+(?=.)|(?=\d))|[_-](?:{_MASK})$", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"^(?:img|image|im)(?:[_-]+(?=.)|(?=\d))|[_-](?:img|image|0000)$", re.IGNORECASE)


def find_folders(folder: Path) -> tuple[Path, Path] | None:
    """Find the folder of images and the folder of masks in a dataset; None if one is missing.

    Raises:
        InputError: two folders that may both hold the images, or the masks.
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

    Equal names are pairs. Other names are pairs if they are equal without prefix or suffix: "img0001" and "label0001",
    "a" and "a_mask", "a_0000" and "a".

    Returns:
        Names of masks by names of images, for images that have a mask.

    Raises:
        InputError: an image with several possible masks, or a mask with several possible images.
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


EMPTY_SLICES = "empty-slices.json"


@dataclass(frozen=True)
class EmptySlices:
    """Slices of labelled volumes that a person has confirmed to be empty, as the page notes them.

    A mask does not distinguish an empty slice from an unchecked one. FOLDER/empty-slices.json lists the slices that
    show no structure, by the name of their volume: {"axis": "axial", "slices": {"a": [0, 1, 7]}}. Numbers begin at 0.

    Attributes:
        axis: axis that the volumes are cut along.
        numbers: numbers of the slices, ascending, by the name of their volume.
    """

    axis: str = ""
    numbers: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "EmptySlices":
        """Read the slices of a folder; none without the file.

        Raises:
            InputError: a file of another form.
        """
        file = folder / EMPTY_SLICES
        if not file.exists():
            return cls()
        content = read_json(file)
        axis, slices = (content.get(key) for key in ("axis", "slices")) if isinstance(content, dict) else (None, None)
        if not (
            isinstance(axis, str)
            and isinstance(slices, dict)
            and all(isinstance(own, list) and all(type(k) is int and k >= 0 for k in own) for own in slices.values())
        ):
            raise InputError(f'{file}: must hold {{"axis": "axial", "slices": {{"a": [0, 1]}}}}; correct or remove it')
        return cls(axis, {name: sorted(set(own)) for name, own in slices.items()})

    def write(self, folder: Path) -> None:
        """Write the slices of a folder whole or not at all; without any, remove the file."""
        numbers = {name: list(own) for name, own in sorted(self.numbers.items()) if own}
        if numbers:
            write_json(folder / EMPTY_SLICES, {"axis": self.axis, "slices": numbers}, indent=0)
        else:
            (folder / EMPTY_SLICES).unlink(missing_ok=True)
