"""Take in labelled volumes or labelled pictures, to segment whole volumes slice by slice."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io.mask_values import check_class_count, check_same_marks
from universeg_jax.io.volume_folder import LabelledVolume
from universeg_jax.io.volumes import AXES, Volume, check_finite_voxels, class_labels, values_of
from universeg_jax.segment.auto import Choice
from universeg_jax.segment.labelled_slices import MOST_ENCODED, LabelledSlice, picture_slices, read_slices
from universeg_jax.segment.planes import Planes, as_volume, coarsest_axis
from universeg_jax.segment.postprocess import Cleaning
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.slice_pool import SlicePool
from universeg_jax.segment.volume_task import VolumeTask

SMOOTHING = 0.5  # slices; experiments/results/volumes/networks.md compares others
OBLONG = 3.0  # ratio of the spacings within slices beyond which an axis is not used by axis="all"


def fit_volumes(
    segmenter: Segmenter,
    volumes: Sequence[LabelledVolume],
    *,
    axis: str | None = None,
    choice: SliceChoice | None = None,
    modality: str = "",
    labelled_slices: bool = False,
    threshold: float = 0.5,
    smoothing: float = SMOOTHING,
    cleaning: Cleaning | None = None,
    known: Choice | None = None,
) -> VolumeTask:
    """Take in labelled volumes; nothing is trained.

    Args:
        segmenter: its models segment the slices.
        volumes: read one at a time, once for each axis.
        axis: one of `AXES`; "all" for the mean over the axes whose pixels are at most `OBLONG` times as long as wide;
            None for the axis that the first volume was taken along.
        choice: rule that chooses the labelled slices to show for a slice.
        modality: "CT", "MR", ...; by default the modality in the first volume's file.
        labelled_slices: leave out slices without a label, of volumes that are labelled in part.
        threshold: probability that a class must exceed.
        smoothing: standard deviation, in slices, of the Gaussian that smooths probabilities across slices; 0 is off.
        cleaning: components to remove from masks.
        known: choice of an automatic segmenter to use again; None chooses anew.

    Raises:
        InputError: no volumes, labels of one value, unknown axes.

    Warns:
        SegmentationWarning: a volume without any label.
    """
    if not len(volumes):
        raise InputError("there is no labelled volume: at least one is needed")
    first = volumes[0].image
    axes = _axes(axis, first)
    modality, choice = modality or first.modality, choice or SliceChoice()
    del first
    pools: list[SlicePool] = []
    values = np.empty(0)
    for one in axes:  # one after the other: the slices of an axis are large
        slices = list(
            read_slices(
                segmenter,
                volumes,
                one,
                choice,
                modality=modality,
                labelled_only=labelled_slices,
                encoded=MOST_ENCODED // len(axes),
            )
        )
        if not pools:
            values = _values(slices)
            _warn_of_empty_masks(slices)
        pools.append(SlicePool(segmenter, one, slices, values, choice, per_slice=False))
    task = VolumeTask(
        values, pools, modality, threshold=threshold, smoothing=smoothing, cleaning=cleaning or Cleaning()
    )
    if segmenter.automatic:
        task.choose(known)
    return task


def fit_arrays(
    segmenter: Segmenter,
    volumes: Sequence[Volume | np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    axis: int | str | None = None,
    spacing: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    known: Choice | None = None,
) -> VolumeTask:
    """Take in volumes in memory; `Segmenter.fit` calls this.

    Args:
        segmenter: its models segment the slices.
        volumes: arrays (X,Y,Z), or volumes as `universeg_jax.io.volume_files.read_volume` returns them.
        labels: class values or booleans, of the shape of each volume.
        axis: axis to cut along: for arrays a number, 0 by default; for volumes one of `AXES` or "all".
        spacing: millimetres per voxel of arrays, one for all; None for cubes.
        names: names of the volumes, for messages.
        known: as in `fit_volumes`.

    Raises:
        InputError: unlike numbers or shapes, or an axis that does not fit.
    """
    if len(volumes) != len(labels):
        raise InputError(f"{len(volumes)} support volumes but {len(labels)} labels: pass one label for each volume")
    spacing = (1.0, 1.0, 1.0) if spacing is None else tuple(map(float, spacing))
    placed = any(isinstance(volume, Volume) for volume in volumes)
    if not placed and axis not in (None, 0, 1, 2):
        raise InputError(
            f"axis={axis!r}: of arrays pass 0, 1 or 2; anatomical axes are for volumes that know their place"
        )
    number = 0 if placed or axis is None else int(axis)
    labelled = []
    for i, (volume, label) in enumerate(zip(volumes, labels, strict=True)):
        name = f"support volume {i}" if names is None else names[i]
        image, label = as_volume(volume, name, number, spacing), np.asarray(label)
        if label.shape != image.voxels.shape:
            raise InputError(f"{name} is {image.voxels.shape} but its label is {label.shape}: pass one value per voxel")
        check_finite_voxels(image)
        labelled.append(
            LabelledVolume(image, class_labels(replace(image, name=f"the label of {name}", voxels=label)).voxels)
        )
    task = fit_volumes(
        segmenter, labelled, axis=(None if axis is None else str(axis)) if placed else "axial", known=known
    )
    task._arrays = (number, spacing)
    return task


def fit_pictures(
    segmenter: Segmenter,
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    axis: str = "axial",
    choice: SliceChoice | None = None,
    threshold: float = 0.5,
    smoothing: float = SMOOTHING,
    cleaning: Cleaning | None = None,
) -> VolumeTask:
    """Take in labelled pictures (H,W) or (H,W,3) of slices, to segment volumes cut along `axis`."""
    slices = list(picture_slices(segmenter, images, labels, names))
    values = _values(slices)
    pool = SlicePool(segmenter, axis, slices, values, choice or SliceChoice(), per_slice=True)
    task = VolumeTask(values, [pool], "", threshold=threshold, smoothing=smoothing, cleaning=cleaning)
    if segmenter.automatic:
        task.choose()
    return task


def _axes(axis: str | None, volume: Volume) -> list[str]:
    if axis != "all":
        return [axis or coarsest_axis(volume)]
    spacings = {one: Planes.of(volume, one).spacing[1:] for one in AXES}
    used = [one for one, spacing in spacings.items() if max(spacing) <= OBLONG * min(spacing)]
    return used or [coarsest_axis(volume)]


def _warn_of_empty_masks(slices: Sequence[LabelledSlice]) -> None:
    labelled = {one.subject for one in slices if one.labels.any()}
    names = {one.subject: one.name.rsplit(" slice ", 1)[0] for one in slices}
    empty = [name for subject, name in names.items() if subject not in labelled]
    if empty:
        warnings.warn(
            f"{listing(empty)}: empty mask, so all slices are examples without any structure; remove volumes that are "
            "not labelled yet",
            SegmentationWarning,
            stacklevel=3,
        )


def _values(slices: Sequence[LabelledSlice]) -> np.ndarray:
    found = {one.name: values_of(one.labels) for one in slices}
    values = sorted(set().union(*found.values()))
    check_class_count(values, "the labels of the support volumes")
    check_same_marks(found)
    if len(values) < 2:
        raise InputError(
            f"every label is {values[0] if values else 'empty'}, so there is nothing to segment: mark a structure by a "
            "second value in at least one volume"
        )
    return np.array(values)
