"""Measures of how well a segmentation agrees with the truth."""

import numpy as np

from universeg_jax.errors import InputError


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """The Dice coefficient 2|A∩B| / (|A|+|B|) of two masks, in [0,1].

    Two empty masks agree: their Dice is 1. If one of them is empty it is 0.

    Args:
        prediction, truth: bool arrays of one shape.

    Raises:
        InputError: other dtypes or unlike shapes.
    """
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.dtype != bool or truth.dtype != bool:
        raise InputError(
            f"dice compares bool masks; these are {prediction.dtype} and {truth.dtype}: compare with a class first"
        )
    if prediction.shape != truth.shape:
        raise InputError(f"dice compares masks of one shape; these are {prediction.shape} and {truth.shape}")
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    if total == 0:
        return 1.0
    return 2 * np.count_nonzero(prediction & truth) / total
