"""Choose how to segment a task: by leave-one-out over its examples, or by what was best on training sets."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from universeg_jax.cache import cache_folder
from universeg_jax.errors import SegmentationWarning, WeightsError
from universeg_jax.models.blend import Blend
from universeg_jax.segment.forecast import Forecast
from universeg_jax.segment.leave_one_out import LeaveOneOut
from universeg_jax.segment.plan import SIMILAR, Plan
from universeg_jax.weights import shipped

if TYPE_CHECKING:
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.segment.task import Task

AUTO = "auto"

SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)  # of ProtoSAM, tried by leave-one-out
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # tried from SEVERAL examples on
SEVERAL = 8
FEWEST = 4  # examples from which leave-one-out decides
MARGIN = 0.5  # standard errors that another plan must be better than the default by


@dataclass(frozen=True, eq=False)
class Choice:
    """Chosen plan of a task.

    Attributes:
        plan: the plan.
        name: description of the plan.
        reason: the reason for it, in one sentence.
        dice: mean Dice of each plan that was tried, by its description; empty without leave-one-out.
        forecast: Dice to expect; None without leave-one-out.
    """

    plan: Plan
    name: str
    reason: str
    dice: dict[str, float]
    forecast: Forecast | None


def automatic_models() -> Blend:
    """Load UniverSeg, and ProtoSAM without and with its decoder where its weights can be had.

    Warns:
        SegmentationWarning: if the weights of ProtoSAM cannot be loaded; the blend is UniverSeg alone.
    """
    from universeg_jax.weights import load
    from universeg_jax.weights.loading import PROTOSAM_SHARE

    universeg = load(shipped.DEFAULT)
    protosam, problem = _protosam()
    if protosam is None:
        message = f"ProtoSAM is not available, {shipped.DEFAULT} segments alone: {problem}"
        warnings.warn(message, SegmentationWarning, stacklevel=3)
        return Blend((universeg,))
    coarse = protosam.with_config(replace(protosam.config, refinement=None))
    shares = {number: (1 - share, share, 0.0) for number, share in PROTOSAM_SHARE.items()}
    return Blend((universeg, coarse, protosam), shares)


_PROBLEMS: dict[Path, str] = {}
"""Problem that kept ProtoSAM's weights from a cache folder, so that this process tries to fetch them once."""


def _protosam() -> tuple["ProtoSAM | None", str]:
    """Load ProtoSAM; return it, or None and the problem in one line."""
    from universeg_jax.weights.loading import protosam

    folder = cache_folder()
    if folder not in _PROBLEMS:
        try:
            return protosam(), ""
        except WeightsError as error:
            _PROBLEMS[folder] = str(error).splitlines()[0]
    return None, _PROBLEMS[folder]


def choose_plan(task: "Task") -> Choice:
    """Choose the plan of a task of `automatic_models`."""
    number = len(task.labels)
    default = Plan(task.segmenter.blend.weights_for(number))
    if number < 2:
        reason = "one example allows no leave-one-out; the weights are those that training sets found best"
        return Choice(default, _name(default), reason, {}, None)
    left_out = LeaveOneOut(task)
    plans = [default]
    dices = [left_out.dice(left_out.blended(default.weights, None), default.threshold)]
    if number >= FEWEST:
        for plan in _candidates(task):
            maps = left_out.blended(plan.weights, plan.support_size)
            threshold, own = best_threshold(partial(left_out.dice, maps), number)
            plans.append(replace(plan, threshold=threshold))
            dices.append(own)
    best = best_plan(dices)
    scores = {_name(plan): round(float(np.nanmean(own)), 4) for plan, own in zip(plans, dices, strict=True)}
    how = f"leave-one-out over {len(left_out.entries)} examples"
    if number < FEWEST:
        reason = f"too few examples to compare plans; {number} examples use the weights that training sets found best"
    elif best == 0:
        reason = f"no other plan is clearly better by {how}"
    else:
        reason = f"by {how} its Dice is {scores[_name(plans[best])]:.3f}, the default's {scores[_name(default)]:.3f}"
    chosen = plans[best]
    maps = left_out.blended(chosen.weights, chosen.support_size)
    forecast = Forecast.of(dices[best], left_out.certainty(maps, chosen.threshold))
    return Choice(plans[best], _name(plans[best]), reason, scores, forecast)


def _candidates(task: "Task") -> list[Plan]:
    """List the plans to compare with the default."""
    from universeg_jax.models.protosam.task import ProtoSAMTask  # slow to import

    number, several = len(task.labels), len(task.members) > 1
    supports = [None] + ([min(SIMILAR, number // 2)] if number >= 2 * FEWEST else [])
    plans = []
    protosam = task.members[2].predictor() if several else None
    refines = isinstance(protosam, ProtoSAMTask) and any(protosam.refined)
    for share in SHARES if several else (0.0,):
        for refined in (False, True) if refines and share > 0 else (False,):
            shares = (1 - share, 0.0, share) if refined else (1 - share, share, 0.0)
            weights = shares[: len(task.members)]
            for size in supports if share < 1 else [None]:
                plans.append(Plan(weights, "all" if size is None else "similar", size))
    return plans


def best_threshold(dice: Callable[[float], np.ndarray], examples: int) -> tuple[float, np.ndarray]:
    """Choose among THRESHOLDS by the mean Dice; the one nearest to 0.5, if several are equally good.

    Args:
        dice: computes the Dice (M,) of examples by a threshold.
        examples: number of examples of the task; fewer than SEVERAL keep 0.5.

    Returns:
        The threshold, and the Dice (M,) by it.
    """
    tried = {threshold: dice(threshold) for threshold in (THRESHOLDS if examples >= SEVERAL else (0.5,))}
    means = {threshold: round(float(np.nanmean(own)), 4) for threshold, own in tried.items()}
    best = max(tried, key=lambda threshold: (means[threshold], -abs(threshold - 0.5)))
    return best, tried[best]


def best_plan(dices: list[np.ndarray]) -> int:
    """Return the index of the best plan; the first one unless another is better by MARGIN standard errors."""
    best, gain = 0, 0.0
    for index, own in enumerate(dices[1:], start=1):
        difference = (own - dices[0])[~np.isnan(own)]
        if len(difference) < 2:
            continue
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        mean = float(difference.mean())
        if mean > MARGIN * error and mean > gain:
            best, gain = index, mean
    return best


def _name(plan: Plan) -> str:
    """Describe a plan in words."""
    names = ("UniverSeg", "ProtoSAM without decoder", "ProtoSAM")
    used = [(name, weight) for name, weight in zip(names, plan.weights, strict=False) if weight > 0]
    text = used[0][0] if len(used) == 1 else " and ".join(f"{weight:.0%} {name}" for name, weight in used)
    if plan.support != "all":
        text = f"{text}, {plan.support_size} most similar examples"
    return text if plan.threshold == 0.5 else f"{text}, threshold {plan.threshold:g}"
