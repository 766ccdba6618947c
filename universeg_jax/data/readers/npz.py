"""Arrays in one file per dataset.

NAME.npz    images (N,H,W) uint8; labels (N,H,W) uint8 class values; ids (N,) text, equal for images of one subject
NAME.json   optional: {"classes": ["background", "lung"], "source": ..., "licence": ..., "modality": ...}
"""

import math
import os
import zipfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.source import Item, Scan, Source
from universeg_jax.errors import InputError
from universeg_jax.util.files import check_regular
from universeg_jax.util.json_files import read_json
from universeg_jax.util.names import check_name

ARRAYS = ("images", "labels", "ids")

LARGEST = 2**33
"""Bytes of the largest dataset that is read, since all of it is held in memory."""


def matches(path: Path) -> bool:
    """Whether this is such a file, or a folder with one."""
    return path.suffix == ".npz" or any(path.glob("*.npz"))


def find(path: Path, modality: str | None = None) -> list[Source]:
    """One dataset per file.

    Raises:
        InputError: a file that holds other arrays, or a NAME.json that cannot be read.
    """
    return [_find_one(file, modality) for file in ([path] if path.is_file() else sorted(path.glob("*.npz")))]


def _find_one(file: Path, modality: str | None) -> Source:
    about_file = file.with_suffix(".json")
    about = _read_about(about_file)
    subjects = load(file)["ids"].tolist()
    names = about.get("classes", [])
    read = partial(
        _read_image,
        modality=modality or str(about.get("modality", "image")),
        class_names={value: check_name(str(name), str(about_file)) for value, name in enumerate(names)},
    )
    items = tuple(Item(f"{i:06d}", str(subject), (file,), part=i) for i, subject in enumerate(subjects))
    return Source(
        file.stem,
        "npz",
        file.parent,
        items,
        read,
        # Where each image has an id of its own, it may as well name the image as the subject.
        subjects_known=len(set(subjects)) < len(subjects),
        origin=_text(about.get("source", "")),
        licence=_text(about.get("licence", "")),
    )


def _read_image(item: Item, *, modality: str, class_names: dict[int, str]) -> list[Scan]:
    arrays = load(item.files[0])
    return [Scan(arrays["images"][item.part], arrays["labels"][item.part], class_names, modality)]


@lru_cache(maxsize=1)
def load(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a NAME.npz.

    Raises:
        InputError: a file that is damaged, or holds other arrays.
    """
    check_regular(file)
    try:
        with zipfile.ZipFile(file) as archive:
            headers = {name: _header(archive, name) for name in ARRAYS if f"{name}.npy" in archive.namelist()}
        _check_headers(file, headers)
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in ARRAYS}
    except InputError:
        raise
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise almost anything
        raise InputError(f"{file}: cannot be read; the file is damaged or no npz archive ({error})") from None


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and type of an array from its first bytes: a small file can claim a large array."""
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(member)
    return shape, dtype


def _check_headers(file: Path, headers: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    missing = [name for name in ARRAYS if name not in headers]
    if missing:
        raise InputError(f"{file}: lacks the arrays {', '.join(missing)}")
    shapes = {name: shape for name, (shape, _) in headers.items()}
    (images, labels), kinds = (headers["images"], headers["labels"]), [headers[name][1] for name in ARRAYS]
    if len(images[0]) != 3 or images[0] != labels[0] or shapes["ids"] != images[0][:1]:
        raise InputError(
            f"{file}: images are {shapes['images']}, labels {shapes['labels']}, ids {shapes['ids']}; "
            "needed are (N,H,W), (N,H,W) and (N,)"
        )
    if kinds[0] != np.uint8 or kinds[1] != np.uint8:
        raise InputError(f"{file}: images are {kinds[0]}, labels {kinds[1]}; both must be uint8")
    if kinds[2].hasobject:
        raise InputError(f"{file}: ids are Python objects, which are not read; save them as text or numbers")
    size = sum(math.prod(shape) * kind.itemsize for shape, kind in headers.values())
    if size > LARGEST:
        raise InputError(f"{file}: holds {size:,} bytes of arrays, at most {LARGEST:,} are read; split it into files")


def _read_about(file: Path) -> dict:
    if not os.path.lexists(file):
        return {}
    about = read_json(file)
    if not isinstance(about, dict) or not isinstance(about.get("classes", []), list):
        raise InputError(f'{file}: must be a table with a list of classes, as in {{"classes": ["background", "lung"]}}')
    return about


def _text(value) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
