"""Slices of labelled volumes as labelled pictures, for training."""

from collections.abc import Sequence

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.mask_values import check_class_count, check_same_marks
from universeg_jax.io.masks import GreyCoding
from universeg_jax.io.task_folder import SupportFolder
from universeg_jax.io.volume_folder import LabelledVolume, VolumeFolder
from universeg_jax.io.volumes import check_finite_voxels, values_of
from universeg_jax.segment.intensity import volume_window
from universeg_jax.segment.planes import Planes, coarsest_axis, square_slice
from universeg_jax.segment.slice_choice import spread

MOST = 256  # slices of all volumes together
FEWEST = 4  # slices of one volume in any case
EMPTY = 0.25  # part of the slices of a volume that may show no structure


def read_examples(
    folder: VolumeFolder,
    *,
    axis: str | None = None,
    modality: str = "",
    window: tuple[float, float] | None = None,
    labelled_only: bool = False,
) -> tuple[SupportFolder, list[str], str]:
    """Cut the labelled volumes of a folder into labelled pictures, one volume after the other.

    Args:
        folder: the volumes.
        axis: along which they are cut; None for the axis that the first volume was taken along.
        modality: "CT", "MR", ...; by default what the first volume's file says.
        window: intensities that become 0 and 1; None chooses them for each volume.
        labelled_only: leave out slices without any label, unless a person has confirmed that they are empty.

    Returns:
        Pictures in [0,1] with square pixels and their class values, the subject of each, and the axis.

    Raises:
        InputError: volumes that cannot be used, or labels of one value.
    """
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    names, subjects = [], []
    found: dict[str, list[int]] = {}
    most = max(FEWEST, MOST // max(1, len(folder)))
    for number, file in enumerate(folder.files):
        labelled = folder[number]
        check_finite_voxels(labelled.image)
        axis, modality = axis or coarsest_axis(labelled.image), modality or labelled.image.modality
        found[str(file.mask)] = values_of(labelled.labels)
        low, high = window or volume_window(labelled.image.voxels, modality, labelled.image.name)
        for k in _chosen(labelled, axis, most, labelled_only):
            image, label = square_slice(labelled.image, labelled.labels, axis, k)
            images.append(np.clip((image - low) / max(high - low, 1e-12), 0, 1).astype(np.float32))
            labels.append(label.astype(np.int32))
            names.append(f"{file.name}, slice {k}")
            subjects.append(file.name)
    values = sorted(set().union(*found.values()))
    check_class_count(values, str(folder.folder))
    check_same_marks(found)
    if len(values) < 2:
        raise InputError(f"{folder.folder}: every mask is {values[0] if values else 'empty'}: mark a structure in one")
    classes = {value: folder.class_names.get(value, str(value)) for value in values}
    coding = GreyCoding(wide=values[-1] > 255)
    return SupportFolder(folder.folder, names, images, labels, coding, classes), subjects, str(axis)


def _chosen(labelled: LabelledVolume, axis: str, most: int, labelled_only: bool) -> Sequence[int]:
    """Choose slices at even distances among those that show a structure, and a few of the others."""
    planes = Planes.of(labelled.image, axis)
    images, labels = planes.view(labelled.image.voxels), planes.view(labelled.labels)
    shown = [k for k, plane in enumerate(labels) if plane.any()]
    empty = [k for k in range(len(labels)) if k not in set(shown) and images[k].min() < images[k].max()]
    chosen = [shown[i] for i in spread(len(shown), most)] if shown else []
    if labelled_only:
        empty = [k for k in empty if k in set(labelled.confirmed_empty(axis))]
    few = max(1, round(EMPTY * len(chosen)))
    return sorted(chosen + ([empty[i] for i in spread(len(empty), few)] if empty else []))
