"""Prompts of every kind for images of 80 pixels with an embedding of 5×5, for `SAM.decode`."""

import numpy as np

_rng = np.random.default_rng(5)
_POINTS = _rng.uniform(0, 80, (3, 2, 2)).astype(np.float32)
_LABELS = np.array([[1, 0], [1, -1], [0, 1]], np.int32)
_BOXES = np.array([[3, 5, 40, 60], [10, 10, 70, 30], [0, 0, 79, 79]], np.float32)
_MASK = _rng.normal(0, 5, (1, 20, 20, 1)).astype(np.float32)

PROMPTS = {
    "points": {"points": _POINTS, "point_labels": _LABELS},
    "both": {"points": _POINTS, "point_labels": _LABELS, "boxes": _BOXES},
    "mask": {"boxes": _BOXES[:1], "mask": _MASK},
}
