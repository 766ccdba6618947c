"""HC18: fetal head circumference in ultrasound (van den Heuvel et al., PLoS ONE 2018).

SOURCE/training_set/000_HC.png 000_HC_Annotation.png 010_2HC.png 010_2HC_Annotation.png ...

An annotation is the outline of an ellipse, which the head fills. 010_HC and 010_2HC show one fetus. The table of pixel
sizes is not read, because pixels are square and pictures are resized as a whole.
"""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

from universeg_jax.data.readers.pictures import read_picture
from universeg_jax.data.readers.source import Item, Scan, Source, pair_up
from universeg_jax.errors import InputError
from universeg_jax.io.masks import read_mask
from universeg_jax.io.task_folder import check_same_size


def matches(folder: Path) -> bool:
    """Tell whether annotated heads are here, or in training_set/."""
    return any(_training_set(folder).glob("*HC_Annotation.png"))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find the dataset of the training set; the masks of the test set are not public."""
    files = {file.stem: file for file in _training_set(folder).glob("*HC*.png")}
    masks = {name.removesuffix("_Annotation"): file for name, file in files.items() if name.endswith("_Annotation")}
    images = {name: (file,) for name, file in files.items() if not name.endswith("_Annotation")}
    items = tuple(dataclasses.replace(item, subject=item.name.split("_")[0]) for item in pair_up(images, masks))
    return [
        Source(
            "hc18",
            "hc18",
            folder,
            items,
            partial(_read, modality=modality or "US"),
            subjects_known=True,
            origin="https://zenodo.org/records/1327317",
            licence="CC BY 4.0",
        )
    ]


def fill_ellipse(outline: np.ndarray) -> np.ndarray:
    """Fill the ellipse that runs through an outline (H,W) bool.

    The conic is fitted by least squares, so that gaps and parts outside the image do no harm.

    Returns:
        (H,W) bool.

    Raises:
        ValueError: points that are not on an ellipse.
    """
    points = np.argwhere(outline)
    if len(points) < 5:
        raise ValueError(f"{len(points)} points do not determine an ellipse")
    # The mean of the points of a convex curve lies inside. The conic is 0 there, and 1 on the curve.
    centre, extent = points.mean(0), np.abs(points - points.mean(0)).max()
    terms = _conic_terms((points - centre) / extent)
    conic, *_ = np.linalg.lstsq(terms, np.ones(len(terms)))
    if np.abs(terms @ conic - 1).mean() > 0.2 or conic[1] ** 2 >= 4 * conic[0] * conic[2]:
        raise ValueError("the curve through its points is no ellipse")
    pixels = np.moveaxis(np.indices(outline.shape), 0, -1)
    return _conic_terms((pixels - centre) / extent) @ conic <= 1


def _conic_terms(points: np.ndarray) -> np.ndarray:
    y, x = points[..., 0], points[..., 1]
    return np.stack([x * x, x * y, y * y, x, y], axis=-1)


def _read(item: Item, *, modality: str) -> list[Scan]:
    image_file, mask_file = item.files
    image, outline = read_picture(image_file), read_mask(mask_file).values
    check_same_size(mask_file, outline, image_file, image)
    try:
        head = fill_ellipse(outline > 0)
    except ValueError as error:
        raise InputError(f"{mask_file}: is not the outline of an ellipse ({error})") from None
    return [Scan(image, head.astype(np.int32), {1: "fetal head"}, modality)]


def _training_set(folder: Path) -> Path:
    return folder / "training_set" if (folder / "training_set").is_dir() else folder
