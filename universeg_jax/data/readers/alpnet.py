"""Read SSL-ALPNet's layout: images and labels next to each other in one folder.

SOURCE/image_ID.nii.gz      a volume for each scan; ID is a number or a name
SOURCE/label_ID.nii.gz      its class values
SOURCE/dataset.json         optional: names of channels and classes, licence, as in the Decathlon or nnU-Net
"""

import re
from functools import partial
from pathlib import Path

from universeg_jax.data.readers.nifti import read_pair
from universeg_jax.data.readers.source import Source, pair_up, read_dataset_json
from universeg_jax.errors import InputError


def matches(folder: Path) -> bool:
    """Tell whether the folder holds image_ID and label_ID volumes."""
    return bool(_volumes(folder, "image")) and bool(_volumes(folder, "label"))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Return the dataset of the folder. Each scan counts as its own subject.

    Raises:
        InputError: dataset.json is unreadable, or nothing states the modality.
    """
    about = read_dataset_json(folder / "dataset.json")
    channels = (modality,) if modality else about.channels
    if len(channels) != 1:
        raise InputError(f"{folder}: nothing states how these volumes were made; pass --modality CT, or MR")
    images = {name: (file,) for name, file in _volumes(folder, "image").items()}
    return [
        Source(
            folder.resolve().name,
            "alpnet",
            folder,
            pair_up(images, _volumes(folder, "label")),
            partial(read_pair, channels=channels, class_names=about.class_names),
            subjects_known=True,
            regions=about.regions,
            ignore=about.ignore,
            origin=about.origin,
            version=about.version,
            licence=about.licence,
        )
    ]


def _volumes(folder: Path, kind: str) -> dict[str, Path]:
    """Return the files of one kind by ID."""
    found = {}
    for file in sorted(folder.glob(f"{kind}_*.nii*")) if folder.is_dir() else []:
        if match := re.fullmatch(rf"{kind}_(.+?)\.nii(\.gz)?", file.name):
            found[match[1]] = file
    return found
