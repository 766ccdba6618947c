"""Recognise the layout of a folder, and find the datasets in it.

LabelMe and COCO are recognised but not read. The error names the command that converts them.
"""

import dataclasses
import re
import subprocess
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from universeg_jax.data.readers import (
    acdc,
    alpnet,
    bbbc038,
    btcv,
    chaos,
    dicom,
    hc18,
    medsegbench,
    nifti,
    npz,
    pictures,
    polyps,
    totalsegmentator,
    wbc,
)
from universeg_jax.data.readers.source import Source
from universeg_jax.errors import InputError, listing
from universeg_jax.util.checks import check_name
from universeg_jax.util.json_files import read_json

LOOKED_AT = 20  # JSON files of a folder
LABELME = (
    "LabelMe polygons, which are not read; run `python labelme2voc.py FOLDER OUT --labels labels.txt`, from LabelMe's "
    "examples/semantic_segmentation, and take OUT/JPEGImages as images/ and its PNG files of classes as masks/"
)
COCO = (
    "COCO annotations, which are not read; draw a mask of each image by pycocotools (pip install pycocotools): "
    "np.maximum.reduce([coco.annToMask(a) * a['category_id'] for a in annotations]), saved as masks/NAME.png"
)


def check_foreign(path: Path) -> None:
    """Refuse a folder, or a JSON file, of annotations in a foreign format.

    Raises:
        InputError: LabelMe or COCO files; it names one, and the command that converts.
    """
    folders = [path, *(path / name for name in ("annotations", "masks", "labels", "images"))]
    files = [path] if path.is_file() else [file for place in folders for file in sorted(place.glob("*.json"))]
    for file in islice((file for file in files if file.suffix.lower() == ".json"), LOOKED_AT):
        try:
            about = read_json(file)
        except InputError:
            continue  # another reader reports it, if it belongs to a dataset
        if not isinstance(about, dict):
            continue
        if {"shapes", "imagePath"} <= about.keys():
            raise InputError(f"{file}: holds {LABELME}")
        if {"images", "annotations", "categories"} <= about.keys():
            raise InputError(f"{file}: holds {COCO}")


# The first match counts: named datasets come before the general layouts that they resemble.
READERS = {
    "acdc": acdc,
    "bbbc038": bbbc038,
    "hc18": hc18,
    "wbc": wbc,
    "totalsegmentator": totalsegmentator,
    "alpnet": alpnet,
    "btcv": btcv,
    "chaos": chaos,
    "polyps": polyps,
    "nifti": nifti,
    "dicom": dicom,
    "medsegbench": medsegbench,
    "npz": npz,
    "images": pictures,
}


def find_sources(
    path: Path,
    *,
    kind: str | None = None,
    modality: str | None = None,
    subject_pattern: str | None = None,
    name: str | None = None,
) -> list[Source]:
    """Find the datasets in a folder, each with its items.

    Args:
        name: name of the dataset; None takes the name of the folder or file.
        kind: a key of READERS; None recognises the layout from the files.
        modality: "CT", "MR", ..., where the files do not say or are wrong.
        subject_pattern: a regular expression that finds the subject in names of items; its first group if it has one.

    Raises:
        InputError: nothing here, an unknown layout, files that the reader refuses, or a name without a match.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if kind not in (None, *READERS):
        raise InputError(f"kind={kind!r}: pass one of {', '.join(READERS)}")
    if modality is not None:
        check_name(modality, "--modality")
    kind = kind or _kind(path)
    if kind in (None, "images"):
        check_foreign(path)
    if kind is None:
        inner = [folder.name for folder in sorted(path.glob("*/")) if _kind(folder)]
        raise InputError(
            f"{path}: its layout is unknown; known are {', '.join(READERS)}; "
            + (
                f"prepare the datasets in it one by one: {listing(inner)}"
                if inner
                else "the simplest one is images/ and masks/ with files of the same names "
                "(see `universeg-jax prepare --help`)"
            )
        )
    sources = [source for source in READERS[kind].find(path, modality) if source.items]
    if not sources:
        raise InputError(f"{path}: holds nothing to prepare as {kind}")
    if subject_pattern:
        sources = [_with_subjects(source, subject_pattern) for source in sources]
    return [
        dataclasses.replace(source, name=safe_name(name or source.name), version=source.version or _commit(path))
        for source in sources
    ]


def _kind(path: Path) -> str | None:
    return next((kind for kind, reader in READERS.items() if reader.matches(path)), None)


def safe_name(name: str) -> str:
    """Make a name for folders, files and tasks: lower case letters, digits and underscores.

    Raises:
        InputError: nothing is left of the name.
    """
    safe = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:100]
    if not safe:
        raise InputError(f"{name!r}: a dataset needs letters a to z or digits in its name; pass --name with some")
    return safe


def _commit(folder: Path) -> str:
    """Commit of a cloned repository; "" for other folders."""
    if not (folder / ".git").exists():
        return ""
    try:
        return subprocess.check_output(["git", "-C", folder, "rev-parse", "HEAD"], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def find_subjects(names: Sequence[str], pattern: str, *, source: str) -> list[str]:
    """Find the subject in each name by a regular expression, by its first group if it has one.

    Raises:
        InputError: no regular expression, or a name without a match.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--subject-pattern {pattern!r} is not a regular expression ({error})") from None
    subjects = []
    for name in names:
        found = expression.search(name)
        if not found:
            raise InputError(f"--subject-pattern {pattern!r} does not match {name!r} of {source}")
        subjects.append(found[1] if expression.groups else found[0])
    return subjects


def _with_subjects(source: Source, pattern: str) -> Source:
    # Readers without subjects put the item's name there; the reader of npz puts the id.
    subjects = find_subjects([item.subject for item in source.items], pattern, source=source.name)
    items = (dataclasses.replace(item, subject=one) for item, one in zip(source.items, subjects, strict=True))
    return dataclasses.replace(source, items=tuple(items), subjects_known=True)
