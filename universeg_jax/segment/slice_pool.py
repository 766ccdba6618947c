"""The labelled slices of a task along one axis, and the probabilities that they give for the slices of a volume."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from universeg_jax.io.volume_folder import LabelledVolume
from universeg_jax.io.volumes import Volume
from universeg_jax.models.similarity import similarity
from universeg_jax.segment.intensity import volume_window
from universeg_jax.segment.planes import Planes, SquarePixels
from universeg_jax.segment.preprocess import View
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import Candidates, SliceChoice, spread
from universeg_jax.segment.support import SUPPORT_SIZES, Support, pad

MOST = 512  # labelled slices in memory
FEWEST = 8  # slices of one volume that are kept in any case


@dataclass(frozen=True, eq=False)
class LabelledSlice:
    """One labelled slice as the models see it.

    Attributes:
        views: the image, for each model of the segmenter.
        labels: (H,W) class values.
        pixels: how its pixels are made square.
        position: along the axis, in [0,1]; NaN of a picture.
        subject: number of the volume or picture.
    """

    views: tuple[View, ...]
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
) -> Iterator[LabelledSlice]:
    """Cut labelled volumes, one after the other, and keep slices at even distances and the largest of each class.

    Args:
        volumes: read one at a time.
        modality: of all volumes; "" if unknown.
        labelled_only: leave out slices without any label: nobody may have looked at them.
    """
    most = max(FEWEST, min(choice.pool, MOST // max(1, len(volumes))))
    for subject in range(len(volumes)):
        labelled = volumes[subject]
        planes = Planes.of(labelled.image, axis)
        images, labels = planes.view(labelled.image.voxels), planes.view(labelled.labels)
        window = segmenter.window or volume_window(labelled.image.voxels, modality, labelled.image.name)
        pixels = SquarePixels.of(images.shape[1:], planes.spacing[1:])
        areas = [np.bincount(plane.ravel(), minlength=1) for plane in labels]
        kept = _kept(areas, most, labelled_only)
        for i in kept:
            name = f"{labelled.image.name} slice {i}"
            views = view_slice(segmenter, pixels.into(images[i]), name, window)
            yield LabelledSlice(views, np.array(labels[i]), pixels, i / max(1, len(images) - 1), subject)
        del labelled, images, labels, planes  # before the next one is read


def view_slice(
    segmenter: Segmenter, image: np.ndarray, name: str, window: tuple[float, float] | None
) -> tuple[View, ...]:
    """Prepare a slice with square pixels for each model of a segmenter."""
    return tuple(
        View.of(
            image,
            name,
            size=model.input_size,
            channels=model.input_channels,
            window=window if window is None or window[0] < window[1] else None,
            padding=model.padding,
        )
        for model in models_of(segmenter)
    )


def models_of(segmenter: Segmenter) -> tuple:
    """List the models that segment volumes: UniverSeg alone for an automatic segmenter, which chooses for pictures."""
    return segmenter.blend.models[:1] if segmenter.automatic else segmenter.blend.models


class SlicePool:
    """The labelled slices of a task along one axis.

    Args:
        segmenter: the models that segment.
        axis: along which volumes are cut.
        slices: the labelled slices.
        values: (K,) class values, the background first.
        choice: which slices are shown.
        per_slice: scale intensities of each slice by its own range: of slices shown as pictures no more is known.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        axis: str,
        slices: Sequence[LabelledSlice],
        values: np.ndarray,
        choice: SliceChoice,
        *,
        per_slice: bool,
    ):
        self.axis, self.choice, self._segmenter, self._per_slice = axis, choice, segmenter, per_slice
        maps = [_maps(one, values) for one in slices]
        models = models_of(segmenter)
        self._supports = [Support.of([one.views[m] for one in slices], maps) for m in range(len(models))]
        self.candidates = Candidates(
            np.array([one.position for one in slices]),
            np.array([one.subject for one in slices]),
            self._supports[0].shown,
        )

    def probabilities(
        self, volume: Volume, modality: str, done: Callable[[int], object] = lambda number: None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Segment the slices of a volume.

        Args:
            volume: the scan.
            modality: of the task.
            done: called with the number of slices that were segmented.

        Yields:
            Number of a slice and its probabilities (H,W,P) of the classes but the background. Constant slices, which
            show nothing, are left out.
        """
        planes = Planes.of(volume, self.axis)
        images = planes.view(volume.voxels)
        window = self._segmenter.window
        if window is None and not self._per_slice:
            window = volume_window(volume.voxels, modality, volume.name)
        pixels = SquarePixels.of(images.shape[1:], planes.spacing[1:])
        size = self.choice.group(planes.spacing[0])
        for start in range(0, len(images), size):
            group = range(start, min(start + size, len(images)))
            shown = [i for i in group if images[i].min() < images[i].max()]
            if shown:
                views = [
                    view_slice(self._segmenter, pixels.into(images[i]), f"{volume.name} slice {i}", window)
                    for i in shown
                ]
                position = float(np.mean(group)) / max(1, len(images) - 1)
                for i, probability in zip(shown, self._segment(views, position, start, size), strict=True):
                    yield i, pixels.back(probability)
            done(len(group))

    def picture(self, image: np.ndarray, name: str) -> np.ndarray:
        """Segment a picture (H,W) or (H,W,3) by the labelled slices most similar to it: (H,W,P) probabilities."""
        views = view_slice(self._segmenter, image, name, self._segmenter.window)
        return next(iter(self._segment([views], None, 0, 1)))

    def _segment(
        self, views: Sequence[tuple[View, ...]], position: float | None, draw: int, batch: int
    ) -> Iterable[np.ndarray]:
        """Probabilities (H,W,P) of slices that share their labelled slices; `batch` is the size to compile for."""
        first = self._supports[0].images
        similarities = similarity(np.stack([of_models[0].pixels for of_models in views]), first).mean(axis=0)
        chosen, counts = self.choice.entries(self.candidates, similarities, position, draw=draw)
        total: list[np.ndarray] = [np.zeros((), np.float32) for _ in views]
        models = models_of(self._segmenter)
        weights = self._segmenter.blend.weights_for(len(chosen)) if len(models) > 1 else (1.0,)
        for m, (model, weight) in enumerate(zip(models, weights, strict=True)):
            if weight == 0:
                continue
            found = self._of_model(model, self._supports[m].take(chosen), counts, [own[m] for own in views], batch)
            for k, (own, one) in enumerate(zip(views, found, strict=True)):
                total[k] = total[k] + weight * own[m].frame.back(one)
        return total

    def _of_model(self, model, support: Support, mask: np.ndarray, views: Sequence[View], batch: int) -> np.ndarray:
        """Probabilities (B,size,size,P) by one model."""
        entries = len(support)
        size = next((size for size in SUPPORT_SIZES if size >= entries), entries)
        arrays = pad(support.images, size, axis=0), pad(support.labels, size, axis=1), pad(mask, size, axis=1)
        dtype = self._segmenter.dtype
        predictor = model.prepare(arrays[0].astype(dtype), *arrays[1:])
        pixels = pad(np.stack([view.pixels for view in views]), batch, axis=0).astype(dtype)
        regions = pad(np.stack([view.frame.region for view in views]), batch, axis=0)
        logits = np.asarray(predictor(pixels, regions), np.float32)[:, : len(views), ..., 0]
        return expit(np.moveaxis(logits, 0, -1))


def _kept(areas: Sequence[np.ndarray], most: int, labelled_only: bool) -> list[int]:
    """Numbers of the slices to keep, by the voxels of each class value in each slice."""
    highest = max(len(area) for area in areas)
    table = np.stack([np.pad(area, (0, highest - len(area))) for area in areas])
    labelled = np.flatnonzero(table[:, 1:].any(axis=1)) if labelled_only else np.arange(len(areas))
    largest = {int(column.argmax()) for column in table[:, 1:].T if column.any()}
    even = {int(labelled[i]) for i in spread(len(labelled), most)} if len(labelled) else set()
    return sorted(even | largest)


def _maps(one: LabelledSlice, values: np.ndarray) -> np.ndarray:
    """Label maps (H,W,P) with square pixels of the classes but the background."""
    return one.pixels.into((one.labels[..., None] == values[1:]).astype(np.float32))
