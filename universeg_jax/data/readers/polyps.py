"""Read the polyp benchmark of Kvasir and CVC, as distributed for PraNet and on Kaggle.

SOURCE/TrainDataset/images/*.png       pictures to train on, or to draw support from; masks of the same names
SOURCE/TrainDataset/masks/*.png
SOURCE/TestDataset/NAME/images masks   a test set for each source: Kvasir, CVC-ClinicDB, ...; or
SOURCE/TestDataset/test/images/NAME    the same on Kaggle, with test/masks/NAME
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from universeg_jax.data.readers.pictures import read_pair
from universeg_jax.data.readers.source import Item, Scan, Source, pair_up
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import list_pictures


def matches(folder: Path) -> bool:
    """Tell whether the folder holds TrainDataset/images or TestDataset."""
    return (folder / "TrainDataset" / "images").is_dir() or (folder / "TestDataset").is_dir()


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Return one dataset for training and one for each test set.

    Raises:
        InputError: no folder with both images and masks is there.
    """
    found = [
        Source(
            f"polyps_{name}",
            "polyps",
            images,
            pair_up({stem: (file,) for stem, file in list_pictures(images).items()}, list_pictures(masks)),
            partial(read_polyp, modality=modality or "image"),
        )
        for name, images, masks in _sets(folder)
    ]
    if not found:
        raise InputError(f"{folder}: needs TrainDataset/images and masks, or TestDataset/NAME/images and masks")
    return found


def read_polyp(item: Item, *, modality: str) -> list[Scan]:
    """Read one picture. Pixels above the middle of the range of the mask show a polyp, since masks have soft edges."""
    (scan,) = read_pair(item, modality=modality, class_names={})
    labels = (scan.labels > scan.labels.max() / 2).astype(int)
    return [replace(scan, labels=labels, class_names={1: "polyp"})]


def _sets(folder: Path) -> list[tuple[str, Path, Path]]:
    """Return name, images and masks of every set."""
    tests = folder / "TestDataset"
    places = [("train", folder / "TrainDataset" / "images", folder / "TrainDataset" / "masks")]
    places += [(path.parent.name, path, path.parent / "masks") for path in sorted(tests.glob("*/images"))]
    kaggle = tests / "test" / "images"
    places += [(path.name, path, tests / "test" / "masks" / path.name) for path in sorted(kaggle.glob("*/"))]
    return [place for place in places if all(part.is_dir() and any(part.glob("*.*")) for part in place[1:])]
