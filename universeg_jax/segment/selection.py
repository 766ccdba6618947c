"""Selection of the best plan and threshold by leave-one-out, and the Dice to expect from it.

The best of many plans owes part of its Dice to chance. So the forecast scores each example by the plan and threshold
that the other examples select.
"""

from collections.abc import Sequence

import numpy as np

from universeg_jax.shapes import Float

SEVERAL = 8  # examples from which thresholds are selected
MARGIN = 0.5  # standard errors that another plan must be better than the default by


def thresholds(examples: int) -> tuple[float, ...]:
    """Return the thresholds to try, those nearest to 0.5 first."""
    return (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7) if examples >= SEVERAL else (0.5,)


def select(dices: Sequence[Float[np.ndarray, "T M"]]) -> tuple[int, int]:
    """Select a plan and its threshold.

    Each plan takes the threshold of the largest mean Dice. The default stays unless another plan is better by MARGIN
    standard errors.

    Args:
        dices: for each plan, the Dice of M examples by T thresholds; NaN if none can be measured. The first plan is
            the default, with its own threshold alone.

    Returns:
        The index of the plan, and the index of its threshold.
    """
    default, best, gain = dices[0][0], (0, 0), 0.0
    for index, tried in enumerate(dices[1:], start=1):
        threshold = best_threshold(tried)
        difference = tried[threshold] - default
        difference = difference[~np.isnan(difference)]
        if len(difference) < 2:
            continue
        mean, error = float(difference.mean()), difference.std(ddof=1) / np.sqrt(len(difference))
        if mean > MARGIN * error and mean > gain:
            best, gain = (index, threshold), mean
    return best


def best_threshold(dices: Float[np.ndarray, "T M"]) -> int:
    """Return the index of the threshold with the largest mean Dice; the first of equal ones."""
    return int(np.argmax([mean_dice(own) for own in dices]))


def mean_dice(dices: Float[np.ndarray, " M"]) -> float:
    """Return the mean of the Dice that can be measured, in [0,1] and to four digits; 0 if there is none."""
    known = dices[~np.isnan(dices)]
    return round(float(np.clip(known.mean(), 0, 1)), 4) if len(known) else 0.0


def expected(dices: Sequence[Float[np.ndarray, "T M"]]) -> Float[np.ndarray, " M"]:
    """Return the Dice of each example by the plan and threshold that the other examples select.

    Args:
        dices: as for `select`.
    """
    found = np.empty(dices[0].shape[1])
    for example in range(len(found)):
        plan, threshold = select([np.delete(tried, example, axis=1) for tried in dices])
        found[example] = dices[plan][threshold, example]
    return found
