"""Read SABS, the abdominal CT of "Beyond the Cranial Vault" (BTCV), as distributed.

SOURCE/img/img0001.nii.gz       a volume for each scan
SOURCE/label/label0001.nii.gz   its class values
"""

import re
from functools import partial
from pathlib import Path

from universeg_jax.data.readers.nifti import read_pair
from universeg_jax.data.readers.source import Source, pair_up

ORGANS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic veins",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
)
"""Organs of the class values from 1."""


def matches(folder: Path) -> bool:
    """Tell whether the folder holds img/imgNNNN and label/labelNNNN volumes."""
    return bool(_volumes(folder, "img")) and bool(_volumes(folder, "label"))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Return the dataset of the folder. Each scan is of its own subject."""
    images = {number: (file,) for number, file in _volumes(folder, "img").items()}
    return [
        Source(
            "btcv",
            "btcv",
            folder,
            pair_up(images, _volumes(folder, "label")),
            partial(read_pair, channels=(modality or "CT",), class_names=dict(enumerate(ORGANS, start=1))),
            subjects_known=True,
            origin="https://www.synapse.org/Synapse:syn3193805",
        )
    ]


def _volumes(folder: Path, kind: str) -> dict[str, Path]:
    """Return the files of one kind by number."""
    found = {}
    for file in sorted((folder / kind).glob(f"{kind}*.nii*")) if (folder / kind).is_dir() else []:
        if match := re.fullmatch(rf"{kind}(\d+)\.nii(\.gz)?", file.name):
            found[match[1]] = file
    return found
