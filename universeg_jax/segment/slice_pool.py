"""The labelled slices of a task along one axis, and the probabilities that they give for the slices of a volume."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from universeg_jax.io.volumes import Volume
from universeg_jax.models.in_context import similarity
from universeg_jax.segment.labelled_slices import LabelledSlice, view_slice
from universeg_jax.segment.labels import shift_odds
from universeg_jax.segment.plan import Plan
from universeg_jax.segment.planes import Planes, SquarePixels, volume_window
from universeg_jax.segment.preprocess import View
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import Candidates, SliceChoice
from universeg_jax.segment.slice_models import RankedSlices, ShownSlices, SliceModel, Targets, takes_many
from universeg_jax.segment.support import Support


class SlicePool:
    """The labelled slices of a task along one axis.

    Args:
        segmenter: the models that segment.
        axis: axis that volumes are cut along.
        slices: the labelled slices.
        values: (K,) class values, the background first.
        choice: rule that chooses the slices to show.
        per_slice: scale intensities of each slice by its own range. Slices given as pictures have no other.

    Attributes:
        views: views of each labelled slice, for each model.
        models: each model with its labelled slices.
        candidates: the labelled slices, to choose from.
        plan: weights of the models, and the probability that separates a structure from the background.
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
        self.plan = Plan(segmenter.blend.weights_for(min(choice.size, len(slices))))
        self.views = [one.views for one in slices]
        shown = np.stack([np.isin(values[1:], one.labels) for one in slices], axis=1)
        positions, subjects = (np.array([getattr(one, name) for one in slices]) for name in ("position", "subject"))
        self.candidates = Candidates(positions, subjects, shown)
        self.models = self._models(slices, values)
        # Slices are compared in the views of a model that has all of them.
        self._comparing = max(range(len(self.models)), key=lambda m: len(self.models[m].entries))

    @property
    def progress(self) -> bool:
        """True if the segmenter shows progress bars."""
        return self._segmenter.progress

    def _models(self, slices: Sequence[LabelledSlice], values: np.ndarray) -> list[SliceModel]:
        """Give the slices to each model. Models that prepare images alike share arrays."""
        supports: dict[tuple[int, ...], Support] = {}
        models: list[SliceModel] = []
        for m, model in enumerate(self._segmenter.blend.models):
            views = {s: view for s, one in enumerate(slices) if (view := one.views[m]) is not None}
            key = tuple(map(id, views.values()))
            if key not in supports:
                supports[key] = Support.of(list(views.values()), (_maps(slices[s], values) for s in views))
            kind = RankedSlices if takes_many(model) else ShownSlices
            models.append(kind(model, supports[key], np.array(list(views)), self.candidates, self._segmenter.dtype))
        return models

    def probabilities(
        self, volume: Volume, modality: str, done: Callable[[int], object] = lambda number: None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Segment the slices of a volume.

        Args:
            volume: the scan.
            modality: modality of the task.
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
                positions = np.array(shown) / max(1, len(images) - 1)
                for i, probability in zip(shown, self._segment(views, positions, start, size), strict=True):
                    yield i, pixels.back(probability)
                for m, model in enumerate(self.models):
                    model.forget([_known(own[m]) for own in views])
            done(len(group))

    def picture(self, image: np.ndarray, name: str) -> np.ndarray:
        """Segment a picture (H,W) or (H,W,3) by the labelled slices most similar to it: (H,W,P) probabilities."""
        views = view_slice(self._segmenter, image, name, self._segmenter.window)
        return self._segment([views], None, 0, 1)[0]

    def of_model(
        self,
        m: int,
        views: Sequence[tuple[View | None, ...]],
        positions: np.ndarray | None,
        *,
        allowed: np.ndarray | None = None,
        draw: int = 0,
        batch: int = 1,
    ) -> np.ndarray:
        """Segment neighbouring slices by one model.

        Args:
            m: index of the model.
            views: views of B slices, as `view_slice` returns them.
            positions: (B,) positions of the slices along the axis; None if they are unknown.
            allowed: (S,) labelled slices that may be shown; None allows all.
            draw: number of the group, for a random choice.
            batch: number of slices to compile for.

        Returns:
            Probabilities (B,size,size,P) of the classes but the background.
        """
        pixels = np.stack([_known(own[self._comparing]).pixels for own in views])
        similarities = similarity(pixels, self.models[self._comparing].support.images)
        allowed = np.ones(len(self.views), bool) if allowed is None else allowed
        targets = Targets([_known(own[m]) for own in views], similarities, positions, allowed, draw, batch)
        return self.models[m].probabilities(targets, self.choice)

    def _segment(
        self, views: Sequence[tuple[View | None, ...]], positions: np.ndarray | None, draw: int, batch: int
    ) -> list[np.ndarray]:
        """Return probabilities (H,W,P) of neighbouring slices."""
        total: list[np.ndarray] = [np.zeros((), np.float32) for _ in views]
        for m, weight in enumerate(self.plan.weights):
            if weight > 0:
                found = self.of_model(m, views, positions, draw=draw, batch=batch)
                for k, one in enumerate(found):
                    total[k] = total[k] + weight * _known(views[k][m]).frame.back(one)
        return [shift_odds(one, self.plan.threshold) for one in total]


def _known(view: View | None) -> View:
    """Return the view of a target; targets are prepared for every model."""
    if view is None:
        raise ValueError("this slice was not prepared for the model")
    return view


def _maps(one: LabelledSlice, values: np.ndarray) -> np.ndarray:
    """Make label maps (H,W,P) with square pixels, of all classes except the background."""
    return one.pixels.into((one.labels[..., None] == values[1:]).astype(np.float32))
