"""Read a folder of labelled volumes as stacks of slices."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from universeg_jax.data.corpus.slices import class_values, cut, unit_range
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.data.readers.source import AXES, Scan
from universeg_jax.errors import InputError, listing
from universeg_jax.segment.preprocess import checked_window, to_unit_range
from universeg_jax.shapes import Bool, Float, Int
from universeg_jax.util.checks import check_number


@dataclass(frozen=True, eq=False)
class OrganSlices:
    """The slices of one scan that show one organ.

    Attributes:
        images: (n,H,W) in [0,1].
        masks: (n,H,W), True inside the organ.
        slices: numbers of the slices in the scan, ascending.
        scan: the whole scan, if it is known.
    """

    images: Float[np.ndarray, "n H W"]
    masks: Bool[np.ndarray, "n H W"]
    slices: Int[np.ndarray, " n"]
    scan: "SliceStack | None" = None

    def __len__(self) -> int:
        return len(self.slices)


@dataclass(frozen=True, eq=False)
class SliceStack:
    """One labelled scan as a stack of slices.

    Attributes:
        name: name of the scan.
        images: (D,H,W) float32 in [0,1], scaled by the intensities of the whole scan.
        labels: (D,H,W) class values; 0 is background.
        class_names: names of the class values.
        spacing: millimetres between slices, rows and columns.
    """

    name: str
    images: Float[np.ndarray, "D H W"]
    labels: Int[np.ndarray, "D H W"]
    class_names: dict[int, str]
    spacing: tuple[float, float, float]

    @property
    def organs(self) -> list[str]:
        """Names of the organs that the scan shows."""
        return [self.class_names.get(value, str(value)) for value in np.unique(self.labels).tolist() if value]

    def organ(self, name: str) -> OrganSlices:
        """Return the slices that show an organ. There are none if the scan does not show it."""
        values = [
            value for value in np.unique(self.labels) if value and self.class_names.get(value, str(value)) == name
        ]
        masks = np.isin(self.labels, values)
        slices = np.flatnonzero(masks.any(axis=(1, 2)))
        return OrganSlices(self.images[slices], masks[slices], slices, self)

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of images and labels."""
        digest = hashlib.sha256(self.images.tobytes() + self.labels.tobytes())
        return digest.hexdigest()[:12]


def read_stacks(
    folder: Path,
    *,
    axis: str = "axial",
    modality: str | None = None,
    window: tuple[float, float] | None = None,
    crop: int = 0,
    progress: bool = False,
) -> list[SliceStack]:
    """Read all labelled volumes of a folder, in any layout that `universeg-jax prepare` reads.

    Args:
        folder: the volumes.
        axis: axis to cut along: "axial", "coronal" or "sagittal".
        modality: "CT" or "MR", if the files do not say. It decides on the scaling of intensities.
        window: intensities that become 0 and 1; None takes the window of the modality.
        crop: pixels to cut off at each border of a slice.
        progress: show a progress bar.

    Raises:
        InputError: the folder holds pictures or several datasets, a volume is unreadable, or `crop` leaves nothing.
    """
    if axis not in AXES:
        raise InputError(f"axis={axis!r}: pass one of {', '.join(AXES)}")
    sources = find_sources(folder, modality=modality)
    if len(sources) > 1:
        raise InputError(f"{folder}: holds {len(sources)} datasets ({listing([s.name for s in sources])}); pass one")
    stacks = []
    for item in tqdm(sources[0].items, desc="reading", unit="scan", disable=not progress, leave=False):
        if item.problem:
            raise InputError(item.problem)
        scans = sources[0].scans(item)
        if len(scans) > 1:
            raise InputError(f"{item.name}: has {len(scans)} channels; pass volumes with one channel")
        stacks.append(stack_of(scans[0], item.name, axis=axis, window=window, crop=crop))
    return stacks


def stack_of(
    scan: Scan, name: str, *, axis: str = "axial", window: tuple[float, float] | None = None, crop: int = 0
) -> SliceStack:
    """Cut a volume into slices in radiological orientation. It takes the arguments of `read_stacks`.

    Raises:
        InputError: the scan is a picture, or `crop` leaves nothing of a slice.
    """
    if scan.spacing is None:
        raise InputError(f"{name}: is a picture; pass volumes")
    window = checked_window(window)
    unit = unit_range(scan, name) if window is None else to_unit_range(scan.image, name, window=window)
    along, values = AXES.index(axis), class_values(scan)
    images, labels = [], []
    for index in range(scan.image.shape[along]):
        planes, (rows, columns) = cut(scan, unit, axis, index, values)
        images.append(planes[..., 0])
        labels.append(planes[..., 1:] @ np.array(values, np.float32) if values else np.zeros(planes.shape[:2]))
    spacing = (float(scan.spacing[along]), float(rows), float(columns))
    height, width = images[0].shape
    check_number("crop", crop, least=0, below=min(height, width) / 2, whole=True)
    inside = np.s_[:, crop : height - crop, crop : width - crop]
    images, labels = np.stack(images)[inside], np.stack(labels).astype(np.int32)[inside]
    return SliceStack(name, images, labels, dict(scan.class_names), spacing)


def check_organs(stacks: Sequence[SliceStack], organs: Sequence[str] | None) -> list[str]:
    """Return the organs to measure: the given ones, or all that any scan shows.

    Raises:
        InputError: no scan shows one of them.
    """
    known = list(dict.fromkeys(organ for stack in stacks for organ in stack.organs))
    if not known:
        raise InputError("the masks of all scans hold background (0) only")
    unknown = [organ for organ in organs or () if organ not in known]
    if unknown:
        raise InputError(f"organs {', '.join(unknown)}: shown by no scan; there are {', '.join(known)}")
    return list(organs) if organs else known
