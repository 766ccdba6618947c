"""Measures of how well a segmentation agrees with the truth.

Empty masks: two empty masks agree perfectly (overlaps 1, distance 0); if one of the two is empty they disagree as much
as they can (overlaps 0, and as distance the diagonal of the image, the farthest two pixels can be). Soft Dice has no
masks but probabilities, and of an empty label it is 1 for probabilities of exactly 0 and nearly 0 for all others.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from universeg_jax.errors import InputError

SMOOTHING = 1e-7  # of soft Dice, as in the loss of the UniverSeg authors


@dataclass(frozen=True)
class Scores:
    """How one prediction agrees with the truth.

    Attributes:
        dice, soft_dice, iou, surface_dice: from 0 to 1, 1 being perfect.
        hausdorff95: in pixels, or in millimetres where the size of a pixel is known; 0 is perfect.
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
    """All measures of one image (H,W) or volume (D,H,W).

    Args:
        probability: float in [0,1]; the predicted mask is where it exceeds `threshold`.
        label: float in [0,1] of the same shape; the true mask is where it is 0.5 or more.
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
    """(N, number of METRICS)."""
    return np.array([astuple(one) for one in scores])


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """The Dice coefficient 2|A∩B| / (|A|+|B|) of two masks, in [0,1].

    Args:
        prediction, truth: bool arrays of one shape.

    Raises:
        InputError: other dtypes or unlike shapes.
    """
    prediction, truth = _checked("dice", prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    if total == 0:
        return 1.0
    return 2 * np.count_nonzero(prediction & truth) / total


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union |A∩B| / |A∪B| of two masks (Jaccard index), in [0,1]. Arguments as of `dice`."""
    prediction, truth = _checked("iou", prediction, truth)
    union = np.count_nonzero(prediction | truth)
    if union == 0:
        return 1.0
    return np.count_nonzero(prediction & truth) / union


def soft_dice(probability: np.ndarray, label: np.ndarray) -> float:
    """Dice of two maps in [0,1] without a threshold: (2Σpy + ε) / (Σp² + Σy² + ε), with ε = 1e-7.

    The squares (Milletari et al., 2016) are those of the loss that UniverSeg is trained with; a soft label has soft
    Dice 1 with itself.
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
    """Surface Dice and 95th percentile Hausdorff distance of two masks.

    The surface of a mask are its pixels with one outside of it above, below or beside them (before or behind, in
    volumes); beyond the image all is outside. Each has its Euclidean distance to the nearest pixel of the other
    surface. Surface Dice (Nikolov et al., 2018) is the fraction of pixels of both surfaces whose distance is at most
    the tolerance. The Hausdorff distance is the larger of the 95th percentiles of the two directions.

    Args:
        prediction, truth: bool arrays (H,W) or (D,H,W).
        tolerance: in the unit of `spacing`.
        spacing: millimetres per pixel along each dimension; None measures in pixels.

    Raises:
        InputError: other dtypes or unlike shapes.
    """
    from scipy.ndimage import distance_transform_edt

    prediction, truth = _checked("a surface distance", prediction, truth)
    spacing = (1.0,) * prediction.ndim if spacing is None else tuple(spacing)
    if not (prediction.any() and truth.any()):
        diagonal = float(np.hypot.reduce(np.multiply(prediction.shape, spacing)))
        return (0.0, diagonal) if prediction.any() or truth.any() else (1.0, 0.0)
    surfaces = [_surface(mask) for mask in (prediction, truth)]
    to_prediction, to_truth = (distance_transform_edt(~surface, sampling=spacing) for surface in surfaces)
    distances = to_truth[surfaces[0]], to_prediction[surfaces[1]]
    overlap = float(np.mean(np.concatenate(distances) <= tolerance))
    return overlap, float(max(np.percentile(one, 95) for one in distances))


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
