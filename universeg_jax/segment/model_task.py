"""One model of a segmenter, with the support set of a task prepared for it."""

from collections.abc import Sequence

import numpy as np

from universeg_jax.segment.labels import Classes
from universeg_jax.segment.model import InContextModel, Predictor
from universeg_jax.segment.preprocess import View
from universeg_jax.segment.support import Support, pad

# Numbers of targets that a model is called with. A batch is padded to the next, so that models compile for few shapes.
BATCH_SIZES = (1, 2, 4, 8, 16)


class ModelTask:
    """One model with a support set of S entries.

    Args:
        model: the model.
        views: support images, prepared for the model.
        support: arrays for the model.
        classes: classes of the task.
        dtype: dtype of the computation.

    Attributes:
        model: the model.
        views: support images, prepared for the model.
        support: arrays for the model.
    """

    def __init__(
        self,
        model: InContextModel,
        views: Sequence[View],
        support: Support,
        classes: Classes,
        dtype: np.dtype,
    ):
        self.model, self.views, self.support = model, views, support
        self._classes, self._dtype = classes, dtype
        self._whole: Predictor | None = None

    def predictor(self, entries: np.ndarray | None = None) -> Predictor:
        """Prepare the predictor of some support entries; None takes all and prepares them once."""
        if entries is None:
            if self._whole is None:
                self._whole = self._prepared(self.support)
            return self._whole
        return self._prepared(self.support.take(entries))

    def probability(self, views: Sequence[View], predictor: Predictor, weights: np.ndarray | None = None) -> np.ndarray:
        """Return probabilities (B,size,size,P) of B targets, at most the largest batch size.

        Args:
            views: targets, prepared for the model.
            predictor: made by `predictor`.
            weights: (B,S) weights of the predictor's support entries for each target; None counts every entry once.
        """
        size = next(size for size in BATCH_SIZES if size >= len(views))
        pixels = pad(np.stack([view.pixels for view in views]), size, axis=0).astype(self._dtype)
        regions = pad(np.stack([view.frame.region for view in views]), size, axis=0)
        if weights is None:
            logits = predictor(pixels, regions)
        else:
            weights = pad(weights, self.support.padded_size(weights.shape[1]), axis=1)
            logits = predictor(pixels, regions, pad(weights, size, axis=0))
        return self._classes.probability(logits)[: len(views)]

    def _prepared(self, support: Support) -> Predictor:
        images, labels, mask = support.padded()
        return self.model.prepare(images.astype(self._dtype), labels, mask)
