"""MedSegBench: 35 public datasets in 2-D (Kus and Aydin, Scientific Data 2024), with splits of their own.

NAME_SIZE.npz    train_images (N,H,W) or (N,H,W,3) uint8, train_label (N,H,W) class values; the same for val and test
                 some also train_images_C1, train_label_C1, ...: the same images, or some of them, by category
NAME_SIZE.json   optional, as for npz: {"classes": ["background", "polyp"], "licence": ..., "modality": ...}

Each category becomes a dataset of its own.
"""

import re
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.npz import (
    array_header,
    array_names,
    class_names,
    list_files,
    read_about,
    read_arrays,
    text,
)
from universeg_jax.data.readers.source import Item, Scan, Source
from universeg_jax.errors import InputError
from universeg_jax.segment.preprocess import with_channels

SPLITS = {"train": "train", "val": "validation", "test": "test"}
_LABELS = re.compile(r"^(train|val|test)_labels?(_\w+)?$")


def matches(path: Path) -> bool:
    """Tell whether this is such a file, or a folder with one."""
    return any(_categories(file) for file in list_files(path))


def find(path: Path, modality: str | None = None) -> list[Source]:
    """Find one dataset per file and category. Every image counts as a subject.

    Raises:
        InputError: a file without images for its labels, of other shapes, or damaged.
    """
    files = [file for file in list_files(path) if _categories(file)]
    return [_find_one(file, category, modality) for file in files for category in sorted(_categories(file))]


def _find_one(file: Path, category: str, modality: str | None) -> Source:
    about_file, items = file.with_suffix(".json"), []
    about = read_about(about_file)
    for short, split in SPLITS.items():
        names = _names(file, short, category)
        if names is None:
            continue
        images, labels = (array_header(file, name)[0] for name in names)
        if len(labels) != 3 or images[:3] != labels or len(images) not in (3, 4):
            raise InputError(f"{file}: {names[0]} is {images}, {names[1]} is {labels}; each image needs a label (H,W)")
        items += [Item(f"{short}_{i:06d}", f"{short}_{i:06d}", (file,), part=i, split=split) for i in range(images[0])]
    return Source(
        file.stem + category,
        "medsegbench",
        file.parent,
        tuple(items),
        partial(
            _read_image,
            category=category,
            modality=modality or str(about.get("modality", "image")),
            class_names=class_names(about, about_file),
        ),
        origin=text(about.get("source", "https://github.com/zekikus/MedSegBench")),
        licence=text(about.get("licence", "")),
    )


def _read_image(item: Item, *, category: str, modality: str, class_names: dict[int, str]) -> list[Scan]:
    [file], short = item.files, item.name.rpartition("_")[0]
    if (names := _names(file, short, category)) is None:
        raise InputError(f"{file}: holds no labels of {short} any more; prepare it again")
    images, labels = _split(file, *names)
    image = images[item.part]
    grey = with_channels(image.reshape(*image.shape[:2], -1), 1)[..., 0]
    return [Scan(grey, labels[item.part], class_names, modality)]


@lru_cache(maxsize=1)
def _split(file: Path, images: str, labels: str) -> list[np.ndarray]:
    return read_arrays(file, (images, labels))


def _names(file: Path, short: str, category: str) -> tuple[str, str] | None:
    """Names of the arrays of images and labels of a split; None without labels."""
    there = array_names(file)
    labels = next((name for name in (f"{short}_label{category}", f"{short}_labels{category}") if name in there), None)
    if labels is None:
        return None
    # Categories of labels may share the images.
    images = next((name for name in (f"{short}_images{category}", f"{short}_images") if name in there), None)
    if images is None:
        raise InputError(f"{file}: holds {labels}, but no {short}_images")
    return images, labels


def _categories(file: Path) -> set[str]:
    try:
        return {found[2] or "" for name in array_names(file) if (found := _LABELS.match(name))}
    except InputError:
        return set()  # the reader of other npz files reports it
