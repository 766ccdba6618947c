"""A stand-in for a network that learns intensities from its support set."""

import numpy as np


class Intensities:
    """Takes pixels as bright as the labelled ones for the foreground; nothing where no entry is labelled.

    Attributes:
        sets: the support sets that it was given: images, labels and mask.
    """

    input_channels = 1
    padding = "zeros"

    def __init__(self, size: int = 32):
        self.input_size = size
        self.sets: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def prepare(self, images, labels, mask):
        images, labels, mask = (np.asarray(array, np.float32) for array in (images, labels, mask))
        self.sets.append((images, labels, mask))
        inside = (labels > 0.9) * mask[:, :, None, None, None]
        counts = inside.sum(axis=(1, 2, 3, 4))
        means = (inside * images).sum(axis=(1, 2, 3, 4)) / np.maximum(counts, 1)

        def predictor(targets, regions=None, weights=None):
            targets = np.asarray(targets, np.float32)
            logits = 6 - 40 * np.abs(targets[None] - means[:, None, None, None, None])
            return np.where((counts > 0)[:, None, None, None, None], logits, -6.0)

        return predictor
