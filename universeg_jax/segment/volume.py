"""Segment whole volumes, slice by slice, from labelled volumes or labelled pictures."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io.mask_values import check_class_count, check_same_marks
from universeg_jax.io.volume_folder import LabelledVolume
from universeg_jax.io.volumes import AXES, Volume, check_finite_voxels, class_labels, values_of
from universeg_jax.segment.auto import Choice, choose_slice_plan
from universeg_jax.segment.forecast import Certainty, Forecast
from universeg_jax.segment.labelled_slices import LabelledSlice, picture_slices, read_slices
from universeg_jax.segment.labels import winners
from universeg_jax.segment.planes import Planes, as_volume, coarsest_axis, thick_axis
from universeg_jax.segment.postprocess import Cleaning
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.slice_pool import SlicePool
from universeg_jax.util.checks import check_number

OBLONG = 3.0  # ratio of the spacings within slices beyond which an axis is not used by axis="all"
LEVELS = 255  # of the mean probability over axes, which takes one byte per voxel and class


@dataclass(frozen=True, eq=False)
class VolumeSegmentation:
    """The result for one volume.

    Attributes:
        mask: (X,Y,Z) class values on the voxels of the scan, unsigned integers.
        volume: the scan, which knows the geometry.
        predicted_dice: Dice to expect of this scan, from the task's forecast and the certainty of the probabilities.
            None without a forecast.
    """

    mask: np.ndarray
    volume: Volume
    predicted_dice: float | None = None

    @property
    def affine(self) -> np.ndarray:
        """(4,4) from voxel indices to millimetres to the right, front and head."""
        return self.volume.affine


class VolumeTask:
    """A task of volumes.

    Attributes:
        values: (K,) class values, ascending, the background first.
        pools: the labelled slices along each axis.
        modality: of the labelled volumes; "" if unknown.
        choice: the choice of the plan and its reason, if the segmenter chooses automatically; otherwise None.
    """

    def __init__(
        self, values: np.ndarray, pools: Sequence[SlicePool], modality: str, *, threshold: float, cleaning: Cleaning
    ):
        check_number("threshold", threshold, above=0, below=1)
        self.values, self.pools, self.modality = values, tuple(pools), modality
        self.choice: Choice | None = None
        self._threshold, self._cleaning = threshold, cleaning
        self._arrays: tuple[int, Sequence[float]] | None = None  # axis and spacing of labelled arrays

    def choose(self) -> Choice:
        """Choose the plan by segmenting labelled slices from other volumes, for a task of an automatic segmenter."""
        self.choice = choose_slice_plan(self.pools[0])
        for pool in self.pools:
            pool.plan = self.choice.plan
        return self.choice

    def forecast(self) -> Forecast | None:
        """Return the Dice to expect on new volumes. None without an automatic choice, and with one labelled volume."""
        return None if self.choice is None else self.choice.forecast

    def segment(self, volume: Volume, done: Callable[[int], object] = lambda number: None) -> VolumeSegmentation:
        """Segment a volume.

        Args:
            volume: one number per voxel; any orientation, it is turned as the labelled volumes are.
            done: called with the number of slices that were segmented.

        Raises:
            InputError: NaN or infinity, or an affine that gives voxels no size.

        Warns:
            SegmentationWarning: a constant scan, or one that was taken along another axis than the labelled volumes
                are cut along.
        """
        check_finite_voxels(volume)
        self._warn_of_axis(volume)
        if volume.voxels.min() == volume.voxels.max():
            message = f"{volume.name}: all voxels are {volume.voxels.flat[0]}, so its mask is empty; check the file"
            warnings.warn(message, SegmentationWarning, stacklevel=2)
        dtype = np.uint8 if self.values[-1] < 256 else np.uint16
        mask: np.ndarray = np.full(volume.shape, self.values[0], dtype)
        certainty = Certainty()
        if len(self.pools) == 1:
            planes = Planes.of(volume, self.pools[0].axis).view(mask)
            for i, probability in self.pools[0].probabilities(volume, self.modality, done):
                certainty.add(probability)
                planes[i] = self._classes(probability)
        else:
            total = self._mean(volume, done)
            for x in range(volume.shape[0]):
                certainty.add(total[x].astype(np.float32) / LEVELS)
                mask[x] = self._classes(total[x].astype(np.float32) / LEVELS)
        forecast = self.forecast()
        predicted = None if forecast is None else forecast.of_image(certainty.value)
        return VolumeSegmentation(self._cleaning(mask, self.values), volume, predicted)

    def _mean(self, volume: Volume, done: Callable[[int], object]) -> np.ndarray:
        """Return the mean probability (X,Y,Z,P) over axes, times `LEVELS`."""
        total: np.ndarray = np.zeros((*volume.shape, len(self.values) - 1), np.uint8)
        scale = LEVELS / len(self.pools)
        for pool in self.pools:
            planes = Planes.of(volume, pool.axis).view(total)
            for i, probability in pool.probabilities(volume, self.modality, done):
                planes[i] += np.floor(probability * scale + 0.5).astype(np.uint8)
        return total

    def predict(
        self, volumes: Sequence[Volume | np.ndarray], *, spacing: Sequence[float] | None = None
    ) -> list[np.ndarray]:
        """Return the mask of each volume, class values of its shape.

        Args:
            volumes: as in `Segmenter.fit`.
            spacing: millimetres per voxel of arrays; None takes the spacing of the labelled ones.
        """
        axis, fitted = self._arrays or (0, (1.0, 1.0, 1.0))
        spacing = fitted if spacing is None else spacing
        placed = [as_volume(volume, f"volume {i}", axis, spacing) for i, volume in enumerate(volumes)]
        return [self.segment(volume).mask for volume in placed]

    def slices(self, volume: Volume) -> int:
        """Count the slices that segmenting a volume takes, for a progress bar."""
        return sum(len(Planes.of(volume, pool.axis).view(volume.voxels)) for pool in self.pools)

    def picture(self, image: np.ndarray, name: str) -> np.ndarray:
        """Segment a picture (H,W) or (H,W,3) by the most similar labelled slices; class values (H,W)."""
        return self._classes(self.pools[0].picture(image, name))

    def _warn_of_axis(self, volume: Volume) -> None:
        cut, taken = [pool.axis for pool in self.pools], thick_axis(volume)
        if self._arrays or taken is None or taken in cut:
            return
        planes = Planes.of(volume, cut[0])
        rows, columns = planes.spacing[1:]
        warnings.warn(
            f"{volume.name}: was taken along the {taken} axis, its slices are {max(volume.spacing):.3g} mm thick; the "
            f"labelled volumes are cut along the {cut[0]} axis, so its pixels there are {rows:.3g} x {columns:.3g} mm "
            f"and blurred; label a scan of this kind, or pass --axis {taken} if the labelled volumes are fine enough",
            SegmentationWarning,
            stacklevel=3,
        )

    def _classes(self, probability: np.ndarray) -> np.ndarray:
        """Combine probabilities (...,P): the likeliest class where it exceeds the threshold, else the background."""
        return self.values[winners(probability, self._threshold)]


def fit_volumes(
    segmenter: Segmenter,
    volumes: Sequence[LabelledVolume],
    *,
    axis: str | None = None,
    choice: SliceChoice | None = None,
    modality: str = "",
    labelled_slices: bool = False,
    threshold: float = 0.5,
    cleaning: Cleaning | None = None,
) -> VolumeTask:
    """Take in labelled volumes; nothing is trained.

    Args:
        segmenter: its models segment the slices.
        volumes: read one at a time, once for each axis.
        axis: one of `AXES`; "all" for the mean over the axes whose pixels are at most `OBLONG` times as long as wide;
            None for the axis that the first volume was taken along.
        choice: which labelled slices are shown for a slice.
        modality: "CT", "MR", ...; by default what the first volume's file says.
        labelled_slices: leave out slices without a label, of volumes that are labelled in part.
        threshold: probability that a class must exceed.
        cleaning: what is removed from masks.

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
        slices = list(read_slices(segmenter, volumes, one, choice, modality=modality, labelled_only=labelled_slices))
        if not pools:
            values = _values(slices)
            _warn_of_empty_masks(slices)
        pools.append(SlicePool(segmenter, one, slices, values, choice, per_slice=False))
    task = VolumeTask(values, pools, modality, threshold=threshold, cleaning=cleaning or Cleaning())
    if segmenter.automatic:
        task.choose()
    return task


def fit_arrays(
    segmenter: Segmenter,
    volumes: Sequence[Volume | np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    axis: int | str | None = None,
    spacing: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
) -> VolumeTask:
    """Take in volumes in memory; `Segmenter.fit` calls this.

    Args:
        segmenter: its models segment the slices.
        volumes: arrays (X,Y,Z), or volumes as `universeg_jax.io.volume_files.read_volume` returns them.
        labels: class values or booleans, of the shape of each volume.
        axis: of arrays, the axis to cut along, 0 by default; of volumes, one of `AXES` or "all".
        spacing: millimetres per voxel of arrays, one for all; None for cubes.
        names: of the volumes, for messages.

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
    task = fit_volumes(segmenter, labelled, axis=(None if axis is None else str(axis)) if placed else "axial")
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
    cleaning: Cleaning | None = None,
) -> VolumeTask:
    """Take in labelled pictures (H,W) or (H,W,3) of slices, to segment volumes cut along `axis`."""
    slices = list(picture_slices(segmenter, images, labels, names))
    values = _values(slices)
    pool = SlicePool(segmenter, axis, slices, values, choice or SliceChoice(), per_slice=True)
    task = VolumeTask(values, [pool], "", threshold=threshold, cleaning=cleaning or Cleaning())
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
