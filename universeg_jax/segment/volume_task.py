"""A task of volumes, ready to segment any number of them slice by slice."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from universeg_jax.errors import SegmentationWarning
from universeg_jax.io.volumes import Volume, check_finite_voxels
from universeg_jax.segment.auto import Choice, choose_slice_plan
from universeg_jax.segment.forecast import Certainty, Forecast
from universeg_jax.segment.labels import winners
from universeg_jax.segment.planes import Planes, as_volume, thick_axis
from universeg_jax.segment.postprocess import Cleaning, smoothed
from universeg_jax.segment.slice_pool import SlicePool
from universeg_jax.util.checks import check_number

MOST_SMOOTHING = 10.0  # slices
LEVELS = 255  # steps of a mean probability over axes, stored as one byte per voxel and class


@dataclass(frozen=True, eq=False)
class VolumeSegmentation:
    """Result for one volume.

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
        modality: modality of the labelled volumes; "" if unknown.
        choice: the choice of the plan and its reason, if the segmenter chooses automatically; otherwise None.
    """

    def __init__(
        self,
        values: np.ndarray,
        pools: Sequence[SlicePool],
        modality: str,
        *,
        threshold: float,
        smoothing: float,
        cleaning: Cleaning | None,
    ):
        check_number("threshold", threshold, above=0, below=1)
        check_number("smoothing", smoothing, least=0, most=MOST_SMOOTHING)
        self.values, self.pools, self.modality = values, tuple(pools), modality
        self.choice: Choice | None = None
        self._threshold, self._smoothing, self._cleaning = threshold, smoothing, cleaning or Cleaning()
        self._arrays: tuple[int, Sequence[float]] | None = None  # axis and spacing of labelled arrays

    def choose(self, known: Choice | None = None) -> Choice:
        """Choose the plan by segmenting labelled slices from other volumes, for a task of an automatic segmenter.

        Args:
            known: choice of the same segmenter for a task with fewer of these volumes; it is used again.
        """
        self.choice = choose_slice_plan(self.pools[0]) if known is None else known
        for pool in self.pools:
            pool.plan = self.choice.plan
        return self.choice

    def forecast(self) -> Forecast | None:
        """Return the Dice to expect on new volumes. None without an automatic choice, and with one labelled volume."""
        return None if self.choice is None else self.choice.forecast

    def segment(self, volume: Volume, done: Callable[[int], object] = lambda number: None) -> VolumeSegmentation:
        """Segment a volume.

        Args:
            volume: one number per voxel, in any orientation; it is turned like the labelled volumes.
            done: called with the number of slices that were segmented.

        Raises:
            InputError: NaN or infinity, or an affine that gives voxels no size.

        Warns:
            SegmentationWarning: a constant scan, or a scan taken along another axis than the labelled volumes are cut
                along.
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
            for i, probability in self._probabilities(self.pools[0], volume, done):
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

    def _probabilities(
        self, pool: SlicePool, volume: Volume, done: Callable[[int], object]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield numbers of slices along one axis, and their smoothed probabilities (H,W,P)."""
        return smoothed(pool.probabilities(volume, self.modality, done), self._smoothing)

    def _mean(self, volume: Volume, done: Callable[[int], object]) -> np.ndarray:
        """Return the mean probability (X,Y,Z,P) over axes, times `LEVELS`."""
        total: np.ndarray = np.zeros((*volume.shape, len(self.values) - 1), np.uint8)
        scale = LEVELS / len(self.pools)
        for pool in self.pools:
            planes = Planes.of(volume, pool.axis).view(total)
            for i, probability in self._probabilities(pool, volume, done):
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
