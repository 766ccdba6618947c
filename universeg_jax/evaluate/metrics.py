"""Measure the agreement of a segmentation with the truth.

Two empty masks agree perfectly: overlaps are 1, the distance is 0. If only one mask is empty, overlaps are 0 and the
distance is the diagonal of the image. Soft Dice takes probabilities. For an empty label it is 1 if all probabilities
are 0, and nearly 0 otherwise.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from universeg_jax.errors import InputError

SMOOTHING = 1e-7  # smoothing of soft Dice, as in the loss of the UniverSeg authors


@dataclass(frozen=True)
class Scores:
    """Agreement of one prediction with the truth.

    Attributes:
        dice, soft_dice, iou, surface_dice: from 0 to 1; 1 is perfect.
        hausdorff95: in pixels, or in millimetres if the size of a pixel is known; 0 is perfect.
    """

    dice: float
    soft_dice: float
    iou: float
    surface_dice: float
    hausdorff95: float


METRICS = tuple(field.name for field in fields(Scores))


def score(
    probability: np.ndarray,
    label: np.ndarray,
    *,
    threshold: float = 0.5,
    tolerance: float = 1.0,
    spacing: Sequence[float] | None = None,
) -> Scores:
    """Return all measures of one image (H,W) or volume (D,H,W).

    Args:
        probability: float in [0,1]; values above `threshold` are the predicted mask.
        label: float in [0,1] of the same shape; values from 0.5 are the true mask.
        threshold: threshold of the probabilities.
        tolerance, spacing: as in `surface_scores`.
    """
    prediction, truth = probability > threshold, label >= 0.5
    return Scores(
        dice(prediction, truth),
        soft_dice(probability, label),
        iou(prediction, truth),
        *surface_scores(prediction, truth, tolerance=tolerance, spacing=spacing),
    )


def as_array(scores: Sequence[Scores]) -> np.ndarray:
    """Return scores as an array (N, metrics)."""
    return np.array([astuple(one) for one in scores])


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice coefficient 2|A∩B| / (|A|+|B|) of two masks, in [0,1].

    Args:
        prediction, truth: bool arrays of one shape.

    Raises:
        InputError: the masks are not bool, or differ in shape.
    """
    prediction, truth = _checked("dice", prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    if total == 0:
        return 1.0
    return 2 * np.count_nonzero(prediction & truth) / total


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the intersection over union |A∩B| / |A∪B| of two masks (Jaccard index), in [0,1]."""
    prediction, truth = _checked("iou", prediction, truth)
    union = np.count_nonzero(prediction | truth)
    if union == 0:
        return 1.0
    return np.count_nonzero(prediction & truth) / union


def soft_dice(probability: np.ndarray, label: np.ndarray) -> float:
    """Return the Dice of two maps in [0,1] without a threshold: (2Σpy + ε) / (Σp² + Σy² + ε), with ε = 1e-7.

    The squares (Milletari et al., 2016) are as in UniverSeg's loss. A soft label has soft Dice 1 with itself.
    """
    p, y = (np.asarray(array, np.float64) for array in (probability, label))
    return float((2 * (p * y).sum() + SMOOTHING) / ((p**2).sum() + (y**2).sum() + SMOOTHING))


def surface_scores(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    tolerance: float = 1.0,
    spacing: Sequence[float] | None = None,
) -> tuple[float, float]:
    """Return surface Dice and the 95th percentile Hausdorff distance of two masks.

    The surface of a mask consists of its pixels with a direct neighbour outside the mask or the image. Each surface
    pixel has a Euclidean distance to the other surface. Surface Dice (Nikolov et al., 2018) is the fraction of
    distances up to the tolerance. The Hausdorff distance is the larger of the 95th percentiles of the two directions.

    Args:
        prediction, truth: bool arrays (H,W) or (D,H,W).
        tolerance: in the unit of `spacing`.
        spacing: millimetres per pixel along each dimension; None measures in pixels.

    Raises:
        InputError: the masks are not bool, or differ in shape.
    """
    from scipy.ndimage import distance_transform_edt

    prediction, truth = _checked("a surface distance", prediction, truth)
    spacing = (1.0,) * prediction.ndim if spacing is None else tuple(spacing)
    if not (prediction.any() and truth.any()):
        diagonal = float(np.hypot.reduce(np.multiply(prediction.shape, spacing)))
        return (0.0, diagonal) if prediction.any() or truth.any() else (1.0, 0.0)
    prediction, truth = _cropped(prediction, truth)
    surfaces = [_surface(mask) for mask in (prediction, truth)]
    to_prediction, to_truth = (distance_transform_edt(~surface, sampling=spacing) for surface in surfaces)
    distances = to_truth[surfaces[0]], to_prediction[surfaces[1]]
    overlap = float(np.mean(np.concatenate(distances) <= tolerance))
    return overlap, float(max(np.percentile(one, 95) for one in distances))


def _cropped(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop both masks to the box that holds them: surfaces stay the same, and distances take less memory."""
    from scipy.ndimage import find_objects

    (box,) = find_objects((prediction | truth).astype(np.uint8))
    return prediction[box], truth[box]


def _surface(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask)


def _checked(metric: str, prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.dtype != bool or truth.dtype != bool:
        raise InputError(
            f"{metric} compares bool masks; these are {prediction.dtype} and {truth.dtype}: compare with a class first"
        )
    if prediction.shape != truth.shape:
        raise InputError(f"{metric} compares masks of one shape; these are {prediction.shape} and {truth.shape}")
    return prediction, truth
