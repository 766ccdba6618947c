"""WBC: white blood cells (Zheng et al., Micron 2018), as github.com/zxaoyou/segmentation_WBC lays them out.

SOURCE/Dataset 1/001.bmp 001.png ...    300 cells of the Jiangxi Tecom hospital (JTSC)
SOURCE/Dataset 2/001.bmp 001.png ...    100 cells of the CellaVision blog (CV)
"""

from functools import partial
from pathlib import Path

from universeg_jax.data.readers.pictures import read_pair
from universeg_jax.data.readers.source import Source, pair_up

SUBSETS = {"wbc_jtsc": "Dataset 1", "wbc_cv": "Dataset 2"}
CLASSES = {"128": "cytoplasm", "255": "nucleus"}


def matches(folder: Path) -> bool:
    """Tell whether one of the two folders is here."""
    return any((folder / subset).is_dir() for subset in SUBSETS.values())


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find one dataset per subset that is here."""
    return [_subset(folder, name, modality) for name, subset in SUBSETS.items() if (folder / subset).is_dir()]


def _subset(folder: Path, name: str, modality: str | None) -> Source:
    images = {file.stem: (file,) for file in (folder / SUBSETS[name]).glob("*.bmp")}
    masks = {file.stem: file for file in (folder / SUBSETS[name]).glob("*.png")}
    return Source(
        name,
        "wbc",
        folder,
        pair_up(images, masks),
        partial(read_pair, modality=modality or "microscopy", class_names=CLASSES),
        origin="https://github.com/zxaoyou/segmentation_WBC",
        licence="GPL-3.0",  # the licence of the repository; the images have none of their own
    )
