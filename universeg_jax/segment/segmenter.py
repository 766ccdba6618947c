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

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.diagnose import diagnose_results, diagnose_support, diagnose_targets
from universeg_jax.segment.labels import Classes
from universeg_jax.segment.model import InContextModel, Predictor, load_in_context
from universeg_jax.segment.preprocess import Arrays, View, checked_label, checked_window, entries, is_list
from universeg_jax.segment.support import Support, pad
from universeg_jax.weights import shipped

# Numbers of targets that a model is called with. A batch is padded to the next, so that models compile for few shapes.
BATCH_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result for one image of height H and width W.

    Attributes:
        mask: (H,W) class values, in the dtype of the labels; bool if they were soft.
        probability: float32 in [0,1]; (H,W) of the larger class value if binary, otherwise (H,W,K) in the
            order of `Task.classes`.
        spread: standard deviation of the probability over the draws of an ensemble, in the same shape; None
            for a single draw.
    """

    mask: np.ndarray
    probability: np.ndarray
    spread: np.ndarray | None


class Segmenter:
    """In-context segmentation of images of any size, from labelled examples.

        task = Segmenter().fit(images, labels)
        masks = task.predict(new_images)

    An image is prepared in these steps:

    1. Colour becomes luminance; for a model of colour images, grey is repeated.
    2. Intensities are scaled to [0,1], by the image's own minimum and maximum or by the window.
    3. The image is padded to a centred square, with zeros or, for ProtoSAM, with copies of its edges.
    4. The square is resized bilinearly, with antialiasing, to the model's input size.

    Labels take the same steps, each class as a soft map. Probabilities are resized and cropped to the size of their
    image before they become classes. With several classes, a support image counts for the classes it shows. In a binary
    task every support image counts, even with an empty mask.

    Args:
        model: an in-context model, or its name or path as in `universeg_jax.weights.load`; a SAM becomes a ProtoSAM.
        window: (low, high), the intensities that become 0 and 1, for images with a common scale such as
            Hounsfield units. None scales each image by its own minimum and maximum.
        dtype: dtype of the model's computation: float32, or bfloat16, which is faster on accelerators.
        progress: show a progress bar if the work takes more than a second.

    Raises:
        InputError: for an unusable window or dtype, or weights that cannot be loaded.
        TypeError: for an object that is not an `InContextModel`.
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
        """Take in labelled images. Nothing is trained: the model compares them with every new image.

        Args:
            images: S images (H,W) or (H,W,C), as a list or one array. C is 3 for colour, or 4 with alpha, which is
                dropped. Sizes and dtypes may differ.
            labels: S labels (H,W): boolean, soft in [0,1], or class values; see `Classes`.
            names: names of the images in messages; None numbers them from 0.

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
        """Prepare an image (H,W) or (H,W,C) as for the model, for inspection."""
        size, channels = self.model.input_size, self.model.input_channels
        return View.of(image, name, size=size, channels=channels, window=self.window, padding=self.model.padding)


class Task:
    """A task with its support set, made by `Segmenter.fit`. The methods share their arguments and differ in results.

    Args of all methods:
        images: N images to segment, as in `Segmenter.fit`. A list gives a list of results, one array gives one array.
        ensemble: number of random draws from the support set whose probabilities are averaged.
        support_size: entries in a draw, taken without replacement such that every class is shown. None takes all
            entries for one draw, and half of them (but at least as many as classes) for several draws.
        seed: seed of the draws.
        names: names of the images in messages; None numbers them from 0.
        threshold: probability that separates the two classes of a binary task, in (0,1).

    All methods raise InputError for images and options that cannot be used. They warn (SegmentationWarning) of constant
    images, of intensities, polarity and sizes unlike the support set, and of empty results.

    Attributes:
        segmenter: the segmenter that made it.
        views: prepared support images.
        support: arrays for the model.
    """

    def __init__(self, segmenter: Segmenter, views: Sequence[View], labels: Sequence[np.ndarray]):
        self.segmenter = segmenter
        self.views = views
        self._classes = Classes.of(labels, [view.name for view in views])
        self.support = Support.of(views, (self._classes.problems(label) for label in labels))

    @property
    def classes(self) -> np.ndarray:
        """(K,) class values, ascending, in the dtype of predicted masks."""
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
        """Return masks (H,W) of class values: above the threshold if binary, otherwise the likeliest class."""
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
        """Return probabilities, float32: (H,W) of the larger class value if binary, else (H,W,K) as in `classes`."""
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
        """Return mask, probability, and spread over an ensemble for each image."""
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
        """Segment images for the public methods; warnings point at their callers."""
        listed, names = entries(images, names, kind="image")
        views = [self.segmenter.view(image, name) for image, name in zip(listed, names, strict=True)]
        for message in diagnose_targets(views, self.views):
            warnings.warn(message, SegmentationWarning, stacklevel=3)
        results = list(self._segmentations(views, self._predictors(ensemble, support_size, seed), threshold))
        for message in diagnose_results(views, [(result.mask == self.classes[0]).all() for result in results]):
            warnings.warn(message, SegmentationWarning, stacklevel=3)
        return results

    def _predictors(self, ensemble: int, support_size: int | None, seed: int) -> list[Predictor]:
        """Prepare one predictor for each draw."""
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
                f"ensemble={ensemble}: every draw shows all {support_size} support entries, so all draws are the same: "
                "omit ensemble, or pass a smaller support_size",
                SegmentationWarning,
                stacklevel=4,  # the callers of the public methods
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
        """Resize the probabilities (draws,size,size,P) of one image to its size."""
        probability = view.frame.back(draws.mean(axis=0))
        spread = view.frame.back(draws.std(axis=0)) if len(draws) > 1 else None
        mask = self._classes.mask(probability, threshold=threshold)
        if self._classes.binary:
            probability = probability[..., 0]
            spread = None if spread is None else spread[..., 0]
        return Segmentation(mask, probability, spread)


def _checked_dtype(dtype: DTypeLike) -> np.dtype:
    """Return float32, which replaces float64 too, or bfloat16; raise an InputError for any other dtype."""
    try:
        found = jax.dtypes.canonicalize_dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, jax.numpy.bfloat16):
        raise InputError(f"dtype={dtype!r}: pass float32 or bfloat16")
    return found
