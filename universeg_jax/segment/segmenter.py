"""Show a model a few labelled images, and segment new ones."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

from universeg_jax import shipped
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.diagnose import diagnose_results, diagnose_support, diagnose_targets
from universeg_jax.segment.labels import Classes
from universeg_jax.segment.model import InContextModel, Predictor, load_in_context
from universeg_jax.segment.preprocess import Arrays, View, checked_label, checked_window, entries, is_list
from universeg_jax.segment.support import Support, pad

# Numbers of targets a model is called with: a batch is filled up to the next, so that it compiles for few shapes.
BATCH_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result for one image of height H and width W.

    Attributes:
        mask: (H,W) class values, in the dtype of the labels; bool if they were soft.
        probability: float32 in [0,1]; (H,W) of the larger class value if binary, otherwise (H,W,K) in the
            order of `Task.classes`.
        spread: standard deviation of the probability over the draws of an ensemble, of the same shape; None
            when there was one draw.
    """

    mask: np.ndarray
    probability: np.ndarray
    spread: np.ndarray | None


class Segmenter:
    """A model that is shown a task by examples.

        task = Segmenter().fit(images, labels)
        masks = task.predict(new_images)

    What happens to an image: colour becomes luminance (or grey is repeated, for a model of colour images);
    intensities are scaled to [0,1], each image by its own minimum and maximum or all by the window; the image is
    padded with zeros (for ProtoSAM with copies of its edges) to a centred square and resized bilinearly, with
    antialiasing, to the model's input size. Labels go the same way, each class as a soft map. Probabilities are
    resized and cropped back to the size of their image, and only then become classes. Of several classes, a support
    image counts for those it shows; in a binary task it counts even if its mask is empty.

    Args:
        model: an in-context model, or the name or path of one as `universeg_jax.weights.load` takes it; a SAM is used
            as ProtoSAM.
        window: (low, high), the intensities that become 0 and 1, for images with a common scale such as
            Hounsfield units. None scales each image by its own minimum and maximum.
        dtype: what the model computes in: float32, or bfloat16 for accelerators, where it is faster and takes half of
            the memory.
        progress: show a progress bar when the work takes more than a second.

    Raises:
        InputError: for an unusable window or dtype, or weights that cannot be loaded.
        TypeError: for a model that does not meet `InContextModel`.
    """

    def __init__(
        self,
        model: InContextModel | str | os.PathLike = shipped.DEFAULT,
        *,
        window: tuple[float, float] | None = None,
        dtype: DTypeLike = np.float32,
        progress: bool = False,
    ):
        self.window = checked_window(window)
        self.dtype = _checked_dtype(dtype)
        self.progress = progress
        if isinstance(model, str | os.PathLike):
            model = load_in_context(model)
        if not isinstance(model, InContextModel):
            raise TypeError(
                f"a {type(model).__name__} is not an in-context model: it needs input_size, input_channels, "
                "padding and prepare"
            )
        self.model = model

    def fit(self, images: Arrays, labels: Arrays, *, names: Sequence[str] | None = None) -> "Task":
        """Take in labelled images. Nothing is trained: the model will look at them beside every new image.

        Args:
            images: S images (H,W) or (H,W,C), C being 3 colour or 4 with alpha, which is dropped; of any sizes,
                numbers of any kind. A list, or one array.
            labels: S labels (H,W): boolean, soft in [0,1], or class values. See `Classes` for what they are taken as.
            names: what messages call the images; None numbers them from 0.

        Raises:
            InputError: for images and labels that do not fit together or cannot be used.

        Warns:
            SegmentationWarning: for constant images, and empty or full masks.
        """
        images, names = entries(images, names, kind="support image")
        labels, _ = entries(labels, None, kind="label")
        if len(images) != len(labels):
            raise InputError(f"{len(images)} support images but {len(labels)} labels: pass one label for each image")
        views = [self.view(image, name) for image, name in zip(images, names, strict=True)]
        labels = [
            checked_label(label, (view.frame.height, view.frame.width), view.name)
            for label, view in zip(labels, views, strict=True)
        ]
        task = Task(self, views, labels)
        for message in diagnose_support(views, labels):
            warnings.warn(message, SegmentationWarning, stacklevel=2)
        return task

    def view(self, image: np.ndarray, name: str = "image") -> View:
        """An image (H,W) or (H,W,C) as the model sees it, to look at what becomes of it."""
        size, channels = self.model.input_size, self.model.input_channels
        return View.of(image, name, size=size, channels=channels, window=self.window, padding=self.model.padding)


class Task:
    """A task as `Segmenter.fit` took it in. The methods take the same options and differ in what they return.

    Args of all of them:
        images: N images to segment, as in `Segmenter.fit`. The results of one array are stacked in one array,
            those of a list are a list.
        ensemble: number of random draws from the support set whose probabilities are averaged.
        support_size: entries in a draw, taken without replacement so that every class is shown. None takes all
            of them when there is one draw, half of them (but no fewer than classes) when there are more.
        seed: of the draws.
        names: what messages call the images; None numbers them from 0.
        threshold: of a binary task, in (0,1).

    All raise InputError for images and options that cannot be used, and warn (SegmentationWarning) of
    constant images, of intensities, polarity and sizes unlike those of the support set, and of empty results.

    Attributes:
        segmenter: what it was made by.
        views: the support images as the model sees them.
        support: the arrays the model is given.
    """

    def __init__(self, segmenter: Segmenter, views: Sequence[View], labels: Sequence[np.ndarray]):
        self.segmenter = segmenter
        self.views = views
        self._classes = Classes.of(labels, [view.name for view in views])
        self.support = Support.of(views, (self._classes.problems(label) for label in labels))

    @property
    def classes(self) -> np.ndarray:
        """(K,) the class values, ascending, as predicted masks hold them."""
        return self._classes.values

    def predict(
        self,
        images: Arrays,
        *,
        threshold: float = 0.5,
        ensemble: int = 1,
        support_size: int | None = None,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray] | np.ndarray:
        """Masks (H,W) of class values: foreground above the threshold if binary, otherwise the likeliest class."""
        results = self._results(images, names, threshold, ensemble, support_size, seed)
        masks = [result.mask for result in results]
        return masks if is_list(images) else np.stack(masks)

    def predict_proba(
        self,
        images: Arrays,
        *,
        ensemble: int = 1,
        support_size: int | None = None,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray] | np.ndarray:
        """Probabilities, float32: (H,W) of the larger class value if binary, otherwise (H,W,K) as in `classes`."""
        results = self._results(images, names, 0.5, ensemble, support_size, seed)
        probabilities = [result.probability for result in results]
        return probabilities if is_list(images) else np.stack(probabilities)

    def segment(
        self,
        images: Arrays,
        *,
        threshold: float = 0.5,
        ensemble: int = 1,
        support_size: int | None = None,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[Segmentation]:
        """Everything for each image: mask, probability, and its spread over the draws of an ensemble."""
        return self._results(images, names, threshold, ensemble, support_size, seed)

    def _results(
        self,
        images: Arrays,
        names: Sequence[str] | None,
        threshold: float,
        ensemble: int,
        support_size: int | None,
        seed: int,
    ) -> list[Segmentation]:
        """What the public methods share; its warnings point at their callers."""
        listed, names = entries(images, names, kind="image")
        views = [self.segmenter.view(image, name) for image, name in zip(listed, names, strict=True)]
        for message in diagnose_targets(views, self.views):
            warnings.warn(message, SegmentationWarning, stacklevel=3)
        results = list(self._segmentations(views, self._predictors(ensemble, support_size, seed), threshold))
        for message in diagnose_results(views, [(result.mask == self.classes[0]).all() for result in results]):
            warnings.warn(message, SegmentationWarning, stacklevel=3)
        return results

    def _predictors(self, ensemble: int, support_size: int | None, seed: int) -> list[Predictor]:
        """One predictor for each draw."""
        if ensemble < 1:
            raise InputError(f"ensemble={ensemble}: pass the number of draws, 1 or more")
        if support_size is not None and not 1 <= support_size <= len(self.support):
            raise InputError(f"support_size={support_size}: the support set has {len(self.support)} entries")
        if seed < 0:
            raise InputError(f"seed={seed}: pass a whole number, 0 or more")
        if ensemble == 1 and support_size is None:
            return [self._whole]
        if support_size is None:
            support_size = max(len(self.support) // 2, min(len(self.support), len(self.support.labels)))
        if ensemble > 1 and support_size == len(self.support):
            warnings.warn(
                f"ensemble={ensemble}: every draw shows all {support_size} of the support's entries, so all are the "
                "same: leave ensemble out, or pass a smaller support_size",
                SegmentationWarning,
                stacklevel=4,  # that of the public methods' callers
            )
        rng = np.random.default_rng(seed)
        draws = [self.support.take(self.support.draw(rng, support_size)) for _ in range(ensemble)]
        return [self._predictor(draw) for draw in draws]

    @cached_property
    def _whole(self) -> Predictor:
        return self._predictor(self.support)

    def _predictor(self, support: Support) -> Predictor:
        images, labels, mask = support.padded()
        return self.segmenter.model.prepare(images.astype(self.segmenter.dtype), labels, mask)

    def _segmentations(
        self, views: Sequence[View], predictors: Sequence[Predictor], threshold: float
    ) -> Iterator[Segmentation]:
        if not 0 < threshold < 1:
            raise InputError(f"threshold={threshold:g}: pass a probability between 0 and 1, both excluded")
        total, hidden = len(views) * len(predictors), not self.segmenter.progress
        with tqdm(total=total, desc="segmenting", unit="image", delay=1, disable=hidden) as bar:
            for start in range(0, len(views), BATCH_SIZES[-1]):
                batch = views[start : start + BATCH_SIZES[-1]]
                size = next(size for size in BATCH_SIZES if size >= len(batch))
                pixels = pad(np.stack([view.pixels for view in batch]), size, axis=0).astype(self.segmenter.dtype)
                regions = pad(np.stack([view.frame.region for view in batch]), size, axis=0)
                draws = []
                for predictor in predictors:
                    draws.append(self._classes.probability(predictor(pixels, regions))[: len(batch)])
                    bar.update(len(batch))
                for view, of_image in zip(batch, np.stack(draws, axis=1), strict=True):
                    yield self._result(view, of_image, threshold)

    def _result(self, view: View, draws: np.ndarray, threshold: float) -> Segmentation:
        """Bring the probabilities (draws,size,size,P) of one image back to its size."""
        probability = view.frame.back(draws.mean(axis=0))
        spread = view.frame.back(draws.std(axis=0)) if len(draws) > 1 else None
        mask = self._classes.mask(probability, threshold=threshold)
        if self._classes.binary:
            probability = probability[..., 0]
            spread = None if spread is None else spread[..., 0]
        return Segmentation(mask, probability, spread)


def _checked_dtype(dtype: DTypeLike) -> np.dtype:
    """The dtype to compute in; InputError unless it is float32, which float64 becomes too, or bfloat16."""
    try:
        found = jax.dtypes.canonicalize_dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, jax.numpy.bfloat16):
        raise InputError(f"dtype={dtype!r}: pass float32 or bfloat16")
    return found
