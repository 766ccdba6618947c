"""Arrays in one file per dataset.

NAME.npz    images (N,H,W) uint8; labels (N,H,W) uint8 class values; ids (N,) text, equal for images of one subject
NAME.json   optional: {"classes": ["background", "lung"], "source": ..., "licence": ..., "modality": ...}
"""

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.source import Item, Scan, Source
from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_name
from universeg_jax.util.files import check_regular
from universeg_jax.util.json_files import read_json

ARRAYS = ("images", "labels", "ids")

LARGEST = 2**33
"""Bytes of the largest dataset that is read, since all of it is held in memory."""


def matches(path: Path) -> bool:
    """Tell whether this is such a file, or a folder with one."""
    return bool(list_files(path))


def find(path: Path, modality: str | None = None) -> list[Source]:
    """Find one dataset per file.

    Raises:
        InputError: a file with other arrays, or a NAME.json that cannot be read.
    """
    return [_find_one(file, modality) for file in list_files(path)]


def list_files(path: Path) -> list[Path]:
    """List the npz files of a folder, sorted, or the file itself."""
    if path.suffix == ".npz" and not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.npz") if file.name[0] != ".")


def read_about(file: Path) -> dict:
    """Read NAME.json; {} if there is no such file.

    Raises:
        InputError: a file that cannot be read, or of another form.
    """
    if not os.path.lexists(file):
        return {}
    about = read_json(file)
    if not isinstance(about, dict) or not isinstance(about.get("classes", []), list):
        raise InputError(f'{file}: must be a table with a list of classes, as in {{"classes": ["background", "lung"]}}')
    return about


def class_names(about: dict, file: Path) -> dict[int, str]:
    """Number the classes of a NAME.json.

    Raises:
        InputError: a name that cannot be stored.
    """
    return {value: check_name(str(name), str(file)) for value, name in enumerate(about.get("classes", []))}


def text(value) -> str:
    """Join a list of texts, or take one as it is."""
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def array_names(file: Path) -> frozenset[str]:
    """List the arrays of an npz file.

    Raises:
        InputError: a file that is damaged.
    """
    check_regular(file)
    with _damage_is_named(file), zipfile.ZipFile(file) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def array_header(file: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and type of an array from its first bytes: a small file can claim a large array.

    Raises:
        InputError: a file that is damaged, lacks the array, or holds Python objects.
    """
    if name not in array_names(file):
        raise InputError(f"{file}: lacks the array {name}")
    with _damage_is_named(file), zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(member)
    if dtype.hasobject:
        raise InputError(f"{file}: {name} are Python objects, which are not read; save them as text or numbers")
    return shape, dtype


def read_arrays(file: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read arrays of an npz file into memory.

    Raises:
        InputError: a file that is damaged, lacks an array, or holds more than `LARGEST` bytes of them.
    """
    size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in (array_header(file, name) for name in names))
    if size > LARGEST:
        raise InputError(f"{file}: holds {size:,} bytes of arrays, at most {LARGEST:,} are read; split it into files")
    with _damage_is_named(file), np.load(file, allow_pickle=False) as archive:
        return [archive[name] for name in names]


@lru_cache(maxsize=1)
def load(file: Path) -> dict[str, np.ndarray]:
    """Load the arrays of a NAME.npz.

    Raises:
        InputError: a file that is damaged, or holds other arrays.
    """
    _check_headers(file)
    return dict(zip(ARRAYS, read_arrays(file, ARRAYS), strict=True))


def _check_headers(file: Path) -> None:
    headers = {name: array_header(file, name) for name in ARRAYS}
    (images, labels, ids), kinds = zip(*headers.values(), strict=True)
    if len(images) != 3 or images != labels or ids != images[:1]:
        raise InputError(
            f"{file}: images are {images}, labels {labels}, ids {ids}; they must be (N,H,W), (N,H,W) and (N,)"
        )
    if kinds[0] != np.uint8 or kinds[1] != np.uint8 or kinds[2].kind not in "Uiu":
        raise InputError(
            f"{file}: images are {kinds[0]}, labels {kinds[1]}, ids {kinds[2]}; images and labels must be uint8, ids "
            "text or integers"
        )


@contextmanager
def _damage_is_named(file: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise almost anything
        raise InputError(f"{file}: cannot be read; the file is damaged or no npz archive ({error})") from None


def _find_one(file: Path, modality: str | None) -> Source:
    about_file = file.with_suffix(".json")
    about = read_about(about_file)
    _check_headers(file)
    [ids] = read_arrays(file, ["ids"])
    subjects = [check_name(str(subject), f"{file}: ids") for subject in ids.tolist()]
    read = partial(
        _read_image,
        modality=modality or str(about.get("modality", "image")),
        class_names=class_names(about, about_file),
    )
    items = tuple(Item(f"{i:06d}", str(subject), (file,), part=i) for i, subject in enumerate(subjects))
    return Source(
        file.stem,
        "npz",
        file.parent,
        items,
        read,
        # An id of its own for each image may name the image, not the subject.
        subjects_known=len(set(subjects)) < len(subjects),
        origin=text(about.get("source", "")),
        licence=text(about.get("licence", "")),
    )


def _read_image(item: Item, *, modality: str, class_names: dict[int, str]) -> list[Scan]:
    arrays = load(item.files[0])
    return [Scan(arrays["images"][item.part], arrays["labels"][item.part], class_names, modality)]
