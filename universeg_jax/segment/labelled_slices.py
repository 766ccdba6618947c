"""Slices of labelled volumes: prepared for the models of a segmenter, or as labelled pictures for training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.mask_values import check_class_count, check_same_marks
from universeg_jax.io.masks import GreyCoding
from universeg_jax.io.task_folder import SupportFolder
from universeg_jax.io.volume_folder import LabelledVolume, VolumeFolder
from universeg_jax.io.volumes import check_finite_voxels, values_of
from universeg_jax.segment.planes import Planes, SquarePixels, coarsest_axis, square_slice, volume_window
from universeg_jax.segment.preprocess import View
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import MOST_TESTED, SliceChoice, shares, slices_to_test, spread
from universeg_jax.segment.slice_models import takes_many

MOST = 512  # labelled slices in memory
FEWEST = 8  # slices of one volume that are kept in any case
MOST_ENCODED = 32  # labelled slices whose encodings are kept: 10 MB each with LiteMedSAM


@dataclass(frozen=True, eq=False)
class LabelledSlice:
    """One labelled slice as the models see it.

    Attributes:
        name: name of the volume and the slice, for messages.
        views: the image, for each model of the segmenter; None for a model that does not use this slice.
        labels: (H,W) class values.
        pixels: how its pixels are made square.
        position: position along the axis, in [0,1]; NaN for a picture.
        subject: number of the volume or picture.
    """

    name: str
    views: tuple[View | None, ...]
    labels: np.ndarray
    pixels: SquarePixels
    position: float
    subject: int


def read_slices(
    segmenter: Segmenter,
    volumes: Sequence[LabelledVolume],
    axis: str,
    choice: SliceChoice,
    *,
    modality: str,
    labelled_only: bool,
    encoded: int = MOST_ENCODED,
) -> Iterator[LabelledSlice]:
    """Cut labelled volumes, one after the other. Keep slices at even distances, and the largest of each class.

    Args:
        volumes: read one at a time.
        modality: modality of all volumes; "" if unknown.
        labelled_only: leave out slices without any label, unless a person has confirmed that they are empty.
        encoded: number of slices of all volumes that are prepared for models that keep their encodings.
    """
    most = max(FEWEST, min(choice.pool, MOST // max(1, len(volumes))))
    models = segmenter.blend.models
    numbers = shares(len(volumes), encoded).tolist()
    places = [place for place, number in enumerate(numbers) if number > 0]
    tests = dict(zip(places, shares(len(places), MOST_TESTED).tolist(), strict=True))
    for subject in range(len(volumes)):
        labelled = volumes[subject]
        planes = Planes.of(labelled.image, axis)
        images, labels = planes.view(labelled.image.voxels), planes.view(labelled.labels)
        window = segmenter.window or volume_window(labelled.image.voxels, modality, labelled.image.name)
        pixels = SquarePixels.of(images.shape[1:], planes.spacing[1:])
        areas = [np.bincount(plane.ravel(), minlength=1) for plane in labels]
        kept, largest = _kept(areas, most, labelled.confirmed_empty(axis) if labelled_only else None)
        shown = np.array([areas[i][1:].any() for i in kept], bool)
        number = min(tests.get(subject, 0), numbers[subject])
        own = slices_to_test(shown, number, places.index(subject))[0] if number else []
        few = _few(kept, largest, own, numbers[subject], subject)
        if all(takes_many(model) for model in models):
            kept = few
        chosen = set(few)
        for i in kept:
            name = f"{labelled.image.name} slice {i}"
            views = view_slice(segmenter, pixels.into(images[i]), name, window, few=i not in chosen)
            yield LabelledSlice(name, views, np.array(labels[i]), pixels, i / max(1, len(images) - 1), subject)
        del labelled, images, labels, planes  # before the next one is read


def picture_slices(
    segmenter: Segmenter, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], names: Sequence[str]
) -> Iterator[LabelledSlice]:
    """Prepare labelled pictures (H,W) or (H,W,3) of slices, each as a subject of its own."""
    encoded = set(spread(len(images), MOST_ENCODED))
    for subject, (image, label, name) in enumerate(zip(images, labels, names, strict=True)):
        if subject not in encoded and all(takes_many(model) for model in segmenter.blend.models):
            continue
        views = view_slice(segmenter, image, name, segmenter.window, few=subject not in encoded)
        yield LabelledSlice(name, views, label, SquarePixels(label.shape, label.shape), np.nan, subject)


def view_slice(
    segmenter: Segmenter,
    image: np.ndarray,
    name: str,
    window: tuple[float, float] | None,
    *,
    few: bool = False,
) -> tuple[View | None, ...]:
    """Prepare a slice with square pixels for each model of a segmenter.

    Args:
        segmenter: models that prepare images alike share a view.
        image: (H,W) or (H,W,3).
        name: name of the slice, for messages.
        window: intensities that become 0 and 1; None takes the lowest and highest intensity of the slice.
        few: give None to models that take in many slices (`slice_models.takes_many`).
    """
    made: dict[tuple, View] = {}
    views: list[View | None] = []
    for model in segmenter.blend.models:
        if few and takes_many(model):
            views.append(None)
            continue
        kind = model.input_size, model.input_channels, model.padding
        if kind not in made:
            made[kind] = View.of(
                image,
                name,
                size=model.input_size,
                channels=model.input_channels,
                window=window if window is None or window[0] < window[1] else None,
                padding=model.padding,
            )
        views.append(made[kind])
    return tuple(views)


def _kept(areas: Sequence[np.ndarray], most: int, empty: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """Choose the slices to keep.

    Args:
        areas: voxels of each class value in each slice.
        most: largest number of slices at even distances.
        empty: slices without a label that are used too; None uses all.

    Returns:
        Numbers of the slices, and among them the slices with the largest area of each class.
    """
    highest = max(len(area) for area in areas)
    table = np.stack([np.pad(area, (0, highest - len(area))) for area in areas])
    used = table[:, 1:].any(axis=1) | (empty is None)
    used[[number for number in empty or () if number < len(areas)]] = True
    labelled = np.flatnonzero(used)
    largest = [int(column.argmax()) for column in table[:, 1:].T if column.any()]
    even = {int(labelled[i]) for i in spread(len(labelled), most)} if len(labelled) else set()
    return sorted({*even, *largest}), largest


def _few(kept: Sequence[int], largest: Sequence[int], own: Sequence[int], number: int, subject: int) -> list[int]:
    """Choose at most `number` of the kept slices: those to test, the largest of each class, others at even distances.

    Volumes begin with different classes, so that every class is shown even if each volume gives few slices.

    Args:
        kept: numbers of the slices.
        largest: numbers of the slices with the largest area of each class.
        own: indices in `kept` of the slices that leave-one-out tests.
        number: number of slices to choose.
        subject: number of the volume.
    """
    turned = [largest[(i + subject) % len(largest)] for i in range(len(largest))]
    wanted = [*own, *(list(kept).index(i) for i in turned)]
    even = spread(len(kept), number) if number else []
    return [kept[i] for i in sorted(list(dict.fromkeys([*wanted, *even]))[:number])]


MOST_PICTURES = 256  # slices of all volumes together
FEWEST_PICTURES = 4  # slices of one volume in any case
EMPTY_PICTURES = 0.25  # part of the slices of a volume that may show no structure


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
        axis: axis to cut along; None for the axis along which the first volume was taken.
        modality: "CT", "MR", ...; by default the modality in the first volume's file.
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
    most = max(FEWEST_PICTURES, MOST_PICTURES // max(1, len(folder)))
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
    few = max(1, round(EMPTY_PICTURES * len(chosen)))
    return sorted(chosen + ([empty[i] for i in spread(len(empty), few)] if empty else []))
