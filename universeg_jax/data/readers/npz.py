"""Arrays in one file per dataset.

NAME.npz    images (N,H,W) uint8; labels (N,H,W) uint8 class values; ids (N,) text, equal for images of one subject
NAME.json   optional: {"classes": ["background", "lung"], "source": ..., "licence": ..., "modality": ...}
"""

import json
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.source import Item, Scan, Source
from universeg_jax.errors import InputError


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
    about = _read_about(file.with_suffix(".json"))
    subjects = load(file)["ids"].tolist()
    names = about.get("classes", [])
    read = partial(
        _read_image,
        modality=modality or str(about.get("modality", "image")),
        class_names=dict(enumerate(map(str, names))),
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
    try:
        with np.load(file, allow_pickle=False) as archive:
            missing = {"images", "labels", "ids"} - set(archive.files)
            if missing:
                raise InputError(f"{file}: lacks the arrays {', '.join(sorted(missing))}")
            arrays = {name: archive[name] for name in ("images", "labels", "ids")}
    except InputError:
        raise
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise almost anything
        raise InputError(f"{file}: cannot be read; the file is damaged or no npz archive ({error})") from None
    images, labels, ids = arrays.values()
    if images.ndim != 3 or images.shape != labels.shape or ids.shape != images.shape[:1]:
        raise InputError(
            f"{file}: images are {images.shape}, labels {labels.shape}, ids {ids.shape}; "
            "needed are (N,H,W), (N,H,W) and (N,)"
        )
    if images.dtype != np.uint8 or labels.dtype != np.uint8:
        raise InputError(f"{file}: images are {images.dtype}, labels {labels.dtype}; both must be uint8")
    return arrays


def _read_about(file: Path) -> dict:
    if not file.exists():
        return {}
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error})") from None
    if not isinstance(about, dict) or not isinstance(about.get("classes", []), list):
        raise InputError(f'{file}: must be a table with a list of classes, as in {{"classes": ["background", "lung"]}}')
    return about


def _text(value) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
