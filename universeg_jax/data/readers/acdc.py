"""ACDC: cine cardiac MR (Bernard et al., IEEE TMI 2018), short-axis stacks at end-diastole and end-systole.

SOURCE/patient001/Info.cfg patient001_frame01.nii.gz patient001_frame01_gt.nii.gz ...
The patients may also lie in SOURCE/training/ and SOURCE/testing/.
"""

import dataclasses
from functools import partial
from pathlib import Path

from universeg_jax.data.readers.nifti import read_pair
from universeg_jax.data.readers.source import Source, pair_up
from universeg_jax.io.volume_files import list_volume_files

CLASSES = {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}


def matches(folder: Path) -> bool:
    """Tell whether patients with their Info.cfg are here."""
    return bool(_patients(folder))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find the dataset; the two frames of a patient stay in one split.

    Slices are taken along the short axis only: a stack has about ten slices of 10 mm, too few for the other axes.
    """
    items = []
    for patient in _patients(folder):
        volumes = list_volume_files(patient)
        masks = {name.removesuffix("_gt"): file for name, file in volumes.items() if name.endswith("_gt")}
        images = {name: (file,) for name, file in volumes.items() if not name.endswith(("_gt", "_4d"))}
        items += [dataclasses.replace(item, subject=patient.name) for item in pair_up(images, masks)]
    return [
        Source(
            "acdc",
            "acdc",
            folder,
            tuple(items),
            partial(read_pair, channels=(modality or "MR",), class_names=CLASSES, axes=("axial",)),
            subjects_known=True,
            origin="https://www.creatis.insa-lyon.fr/Challenge/acdc",
            licence="CC BY-NC-SA 4.0",
        )
    ]


def _patients(folder: Path) -> list[Path]:
    configurations = [*folder.glob("patient*/Info.cfg"), *folder.glob("*/patient*/Info.cfg")]
    return sorted((file.parent for file in configurations), key=lambda patient: patient.name)
