"""Show models a few labelled images, and segment new ones. Prepared and encoded images are kept for later tasks."""

import hashlib
import os
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np
from numpy.typing import DTypeLike

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.volumes import Volume
from universeg_jax.models.in_context import Blend, InContextModel
from universeg_jax.models.sam.model import SAM
from universeg_jax.segment.auto import AUTO, Choice, automatic_models
from universeg_jax.segment.diagnose import diagnose_support
from universeg_jax.segment.preprocess import Arrays, View, checked_label, checked_window, entries, is_list
from universeg_jax.segment.task import Task

if TYPE_CHECKING:
    from universeg_jax.segment.volume_task import VolumeTask


CAPACITY = 2**26
"""Bytes of prepared images. They hold the views of 64 images for both models of an automatic segmenter."""

One = InContextModel | str | os.PathLike
Models = One | Blend | Sequence[One]


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
            A list of these, or a `Blend`, averages the probabilities of its models. "auto" chooses for each task
            between UniverSeg, ProtoSAM and their mean, by leave-one-out over at most 16 examples (`auto.py`).
        weights: one weight for each model of a list; None weighs them equally.
        window: (low, high), the intensities that become 0 and 1, for images with a common scale such as
            Hounsfield units. None scales each image by its own minimum and maximum.
        dtype: dtype of the model's computation: float32, or bfloat16, which is faster on accelerators.
        progress: show a progress bar if the work takes more than a second.

    Attributes:
        automatic: True if every task chooses its own plan.
        blend: the models and their weights.

    Raises:
        InputError: for an unusable window, dtype or weights, or models that cannot be loaded.
        TypeError: for an object that is not an `InContextModel`.
    """

    def __init__(
        self,
        model: Models = AUTO,
        *,
        weights: Sequence[float] | None = None,
        window: tuple[float, float] | None = None,
        dtype: DTypeLike = np.float32,
        progress: bool = False,
    ):
        self.window = checked_window(window)
        self.dtype = _checked_dtype(dtype)
        self.progress = progress
        self._recent = RecentViews()
        self.automatic = isinstance(model, str) and model == AUTO
        self.blend = automatic_models() if self.automatic else _blend(model, weights)

    @property
    def model(self) -> InContextModel:
        """The first model."""
        return self.blend.models[0]

    def fit(
        self,
        images: Arrays,
        labels: Arrays,
        *,
        names: Sequence[str] | None = None,
        axis: int | str | None = None,
        spacing: Sequence[float] | None = None,
        choice: Choice | None = None,
    ) -> "Task | VolumeTask":
        """Take in labelled images or volumes. Nothing is trained: the models compare them with every new image.

        Volumes are arrays (X,Y,Z) with `axis` or `spacing`, or results of `universeg_jax.io.read_volume`. Their task is
        a `VolumeTask` (see `segment.volume.fit_arrays`).

        Args:
            images: S images (H,W) or (H,W,C), as a list or one array. C is 3 for colour, or 4 with alpha, which is
                dropped. Sizes and dtypes may differ.
            labels: S labels (H,W): boolean, soft in [0,1], or class values; see `Classes`.
            names: names of the images in messages; None numbers them from 0.
            axis: axis to cut volumes along: 0, 1 or 2 for arrays, an anatomical name for volumes from files.
            spacing: millimetres per voxel of volumes given as arrays.
            choice: choice of an automatic segmenter for a task with fewer of these examples; it saves the
                leave-one-out. None chooses anew.

        Raises:
            InputError: for images and labels that do not fit together or cannot be used.

        Warns:
            SegmentationWarning: for constant images, and empty or full masks.
        """
        if axis is not None or spacing is not None or (is_list(images) and any(isinstance(i, Volume) for i in images)):
            from universeg_jax.segment.volume import fit_arrays  # it is built on this module

            return fit_arrays(self, images, labels, axis=axis, spacing=spacing, names=names, known=choice)
        images, names = entries(images, names, kind="support image")
        labels, _ = entries(labels, None, kind="label")
        if len(images) != len(labels):
            raise InputError(f"{len(images)} support images but {len(labels)} labels: pass one label for each image")
        # Models that prepare images alike share them.
        kinds = {(model.input_size, model.input_channels, model.padding): model for model in self.blend.models}
        prepared = {kind: self.views(model, images, names) for kind, model in kinds.items()}
        views = [prepared[model.input_size, model.input_channels, model.padding] for model in self.blend.models]
        labels = [
            checked_label(label, (view.frame.height, view.frame.width), view.name)
            for label, view in zip(labels, views[0], strict=True)
        ]
        task = Task(self, views, labels)
        for message in diagnose_support(views[0], labels):
            warnings.warn(message, SegmentationWarning, stacklevel=2)
        if self.automatic:
            task.choose(choice)
        return task

    def view(self, image: np.ndarray, name: str = "image") -> View:
        """Prepare an image (H,W) or (H,W,C) as for the first model, for inspection."""
        return self.views(self.model, [image], [name])[0]

    def views(self, model: InContextModel, images: Sequence[np.ndarray], names: Sequence[str]) -> list[View]:
        """Prepare images for a model."""
        make = partial(
            self._recent.of,
            size=model.input_size,
            channels=model.input_channels,
            window=self.window,
            padding=model.padding,
        )
        return [make(image, name) for image, name in zip(images, names, strict=True)]


def load_in_context(weights: str | os.PathLike) -> InContextModel | Blend:
    """Load the model of a name or path, as `universeg_jax.weights.load` takes it; a SAM is used as ProtoSAM.

    Raises:
        InputError: weights that cannot be loaded, or of a network that takes no examples.
    """
    from universeg_jax.weights import load

    network = load(weights)
    if isinstance(network, Blend):
        return network
    model: object = network
    if isinstance(network, SAM):
        from universeg_jax.models.protosam.pipeline import ProtoSAM

        model = ProtoSAM(network)
    if not isinstance(model, InContextModel):
        raise InputError(
            f"{weights}: these are weights of a {type(network).__name__}, which segments nothing by examples alone; "
            "pass weights of UniverSeg or of a SAM"
        )
    return model


def _blend(
    model: Models,
    weights: Sequence[float] | None,
) -> Blend:
    """Return the blend of one model or several.

    Raises:
        InputError: for weights without a list of models, and weights that do not fit the models.
        TypeError: for an object that is not an `InContextModel`.
    """
    given = list(model) if isinstance(model, list | tuple) else None
    if weights is not None and given is None:
        raise InputError(f"weights={tuple(weights)}: weights are for a list of models")
    loaded = [
        load_in_context(one) if isinstance(one, str | os.PathLike) else one
        for one in ([model] if given is None else given)
    ]
    if given is None and isinstance(loaded[0], Blend):
        return loaded[0]
    for one in loaded:
        if not isinstance(one, InContextModel):
            raise TypeError(
                f"a {type(one).__name__} is not an in-context model: it needs input_size, input_channels, "
                "padding and prepare"
            )
    return Blend(tuple(loaded), {} if weights is None else {1: tuple(weights)})


def _checked_dtype(dtype: DTypeLike) -> np.dtype:
    """Return float32, which replaces float64 too, or bfloat16; raise an InputError for any other dtype."""
    try:
        found = jax.dtypes.canonicalize_dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, jax.numpy.bfloat16):
        raise InputError(f"dtype={dtype!r}: pass float32 or bfloat16")
    return found


class RecentViews:
    """LRU cache of prepared images.

    Args:
        capacity: bytes of prepared images that it holds.
    """

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._known: OrderedDict[tuple, View] = OrderedDict()
        self._bytes = 0

    def of(
        self,
        image: np.ndarray,
        name: str,
        *,
        size: int,
        channels: int,
        window: tuple[float, float] | None,
        padding: Literal["zeros", "edge"],
    ) -> View:
        """Prepare an image (H,W) or (H,W,C), as `View.of` does, or return its view under a name."""
        content = hashlib.sha1(np.ascontiguousarray(image).tobytes()).digest()
        key = content, str(image.dtype), image.shape, size, channels, window, padding
        view = self._known.pop(key, None)
        if view is None:
            view = View.of(image, name, size=size, channels=channels, window=window, padding=padding)
            self._bytes += view.pixels.nbytes
        self._known[key] = view
        while self._bytes > self._capacity and self._known:
            self._bytes -= self._known.popitem(last=False)[1].pixels.nbytes
        return view if view.name == name else replace(view, name=name)


def encode_ahead(segmenter: Segmenter, image: np.ndarray, name: str = "image") -> None:
    """Encode an image (H,W) or (H,W,C), so that a task which shows or segments it needs less time.

    Encodings are kept by content (`keep_encodings`). Models without an image encoder have nothing to prepare.

    Raises:
        InputError: an image that cannot be used.
    """
    for model in segmenter.blend.models:
        [view] = segmenter.views(model, [image], [name])
        encode = getattr(model, "encode_ahead", None)
        if encode is not None and not view.constant:  # constant images are not encoded
            encode(view.pixels[None].astype(segmenter.dtype))


def keep_encodings(segmenter: Segmenter, capacity: int) -> None:
    """Let the image encoders of a segmenter keep encodings of at least so many bytes in memory."""
    for model in segmenter.blend.models:
        kept = getattr(getattr(model, "encoder", None), "cache", None)
        if kept is not None:
            kept.capacity = max(kept.capacity, capacity)
