"""Choose how to segment a task: by leave-one-out over its examples, or by the choice that was best on training sets."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from universeg_jax.cache import cache_folder
from universeg_jax.errors import SegmentationWarning, WeightsError
from universeg_jax.models.in_context import Blend
from universeg_jax.segment.forecast import Forecast
from universeg_jax.segment.leave_one_out import LeaveOneOut, SlicesLeftOut
from universeg_jax.segment.plan import SIMILAR, Plan
from universeg_jax.segment.selection import best_threshold, expected, mean_dice, select, thresholds
from universeg_jax.weights import shipped

if TYPE_CHECKING:
    from universeg_jax.models.in_context import Predictor
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.segment.slice_pool import SlicePool
    from universeg_jax.segment.task import Task

AUTO = "auto"

SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)  # weights of ProtoSAM that leave-one-out tries
VOLUME_SHARE = 0.5  # default weight of ProtoSAM for volumes: experiments/results/volumes/networks.md
FEWEST = 4  # examples from which leave-one-out decides


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
    """Load UniverSeg, and ProtoSAM without and with its decoder if its weights can be loaded.

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


class LeftOut(Protocol):
    """Examples that were each segmented from the others."""

    def blended(self, weights: tuple[float, ...], similar: int | None) -> np.ndarray:
        """Return the weighted mean of the probabilities of the models."""
        ...

    def dice(self, probabilities: np.ndarray, threshold: float) -> np.ndarray:
        """Return the Dice (M,) of M examples."""
        ...

    def certainty(self, probabilities: np.ndarray, threshold: float) -> np.ndarray:
        """Return the certainty (M,) of M examples."""
        ...


def prior_choice(blend: Blend, number: int) -> Choice:
    """Return the choice for a number of examples without leave-one-out: the plan that was best on training sets."""
    plan = Plan(blend.weights_for(number))
    return Choice(plan, _name(plan), "the weights are those that training sets found best", {}, None)


def choose_plan(task: "Task", *, pause: Callable[[], object] | None = None) -> Choice:
    """Choose the plan of a task of `automatic_models`.

    Args:
        task: the task.
        pause: as for `LeaveOneOut`.
    """
    number = len(task.labels)
    default = prior_choice(task.segmenter.blend, number).plan
    if number < 2:
        return _prior(default, "one example allows no leave-one-out")
    left_out = LeaveOneOut(task, pause=pause)
    over = f"leave-one-out over {len(left_out.entries)} examples"
    if number < FEWEST:
        reason = f"too few examples to compare plans; {number} examples use the weights that training sets found best"
        return _chosen(left_out, [default], over, examples=number, reason=reason)
    supports = [None] + ([min(SIMILAR, number // 2)] if number >= 2 * FEWEST else [])
    refines = len(task.members) > 1 and _refines(task.members[2].predictor())
    plans = _candidates(len(task.members), refines, supports)
    return _chosen(left_out, [default, *plans], over, examples=number)


def choose_slice_plan(pool: "SlicePool") -> Choice:
    """Choose the plan of a task of volumes of `automatic_models`, from its labelled slices."""
    from universeg_jax.segment.slice_models import RankedSlices  # imports SciPy, which is slow; images do without

    default = Plan((1 - VOLUME_SHARE, VOLUME_SHARE, 0.0) if len(pool.models) > 1 else (1.0,))
    unit = "pictures" if np.isnan(pool.candidates.positions).any() else "volumes"
    if len(np.unique(pool.candidates.subjects)) < 2:
        return _prior(default, f"one labelled {unit[:-1]} allows no leave-one-out")
    left_out = SlicesLeftOut(pool)
    number = int(left_out.volumes.max()) + 1
    over = f"leave-one-out over {len(left_out.entries)} slices of {number} {unit}"
    refines = len(pool.models) > 1 and isinstance(pool.models[2], RankedSlices) and _refines(pool.models[2].predictor)
    plans = _candidates(len(pool.models), refines, [None])
    return _chosen(left_out, [default, *plans], over, examples=number, unit=unit)


def _prior(default: Plan, why: str) -> Choice:
    reason = f"{why}; the weights are those that training sets found best"
    return Choice(default, _name(default), reason, {}, None)


def _chosen(
    left_out: LeftOut,
    plans: Sequence[Plan],
    over: str,
    *,
    examples: int,
    unit: str = "examples",
    reason: str = "",
) -> Choice:
    """Compare plans, the first of which is the default. The other plans also choose their thresholds.

    Args:
        left_out: examples that were segmented from the others.
        plans: the plans.
        over: the kind of test, for the reason.
        examples: number of examples; with few, thresholds are not chosen.
        unit: unit of the forecast.
        reason: reason for the default, if there is no other plan.
    """
    default, levels = plans[0], thresholds(examples)
    dices = [left_out.dice(left_out.blended(default.weights, None), default.threshold)[None]]
    if np.isnan(dices[0]).all():
        return _prior(default, f"no class is shown by two {unit}, so leave-one-out measures nothing")
    for plan in plans[1:]:
        maps = left_out.blended(plan.weights, plan.support_size)
        dices.append(np.stack([left_out.dice(maps, level) for level in levels]))
    best, level = select(dices)
    chosen = replace(plans[best], threshold=levels[level]) if best > 0 else default
    scores = {_name(default): mean_dice(dices[0][0])}
    for plan, own in zip(plans[1:], dices[1:], strict=True):
        tried = best_threshold(own)
        scores[_name(replace(plan, threshold=levels[tried]))] = mean_dice(own[tried])
    if best > 0:
        reason = f"by {over} its Dice is {scores[_name(chosen)]:.3f}, the default's {scores[_name(default)]:.3f}"
    elif not reason:
        reason = f"no other plan is clearly better by {over}"
    maps = left_out.blended(chosen.weights, chosen.support_size)
    forecast = Forecast.of(expected(dices), left_out.certainty(maps, chosen.threshold), unit)
    return Choice(chosen, _name(chosen), reason, scores, forecast)


def _refines(predictor: "Predictor") -> bool:
    """Return True if a prepared ProtoSAM has a class that its decoder refines."""
    from universeg_jax.models.protosam.task import ProtoSAMTask  # slow to import

    return isinstance(predictor, ProtoSAMTask) and any(predictor.refined)


def _candidates(models: int, refines: bool, supports: Sequence[int | None]) -> list[Plan]:
    """List the plans to compare with the default.

    Args:
        models: number of the models; 1 if ProtoSAM is missing.
        refines: try ProtoSAM with its decoder too.
        supports: numbers of similar examples to try; None is all.
    """
    plans = []
    for share in SHARES if models > 1 else (0.0,):
        for refined in (False, True) if refines and share > 0 else (False,):
            weights = ((1 - share, 0.0, share) if refined else (1 - share, share, 0.0))[:models]
            for size in supports if share < 1 else [None]:
                plans.append(Plan(weights, "all" if size is None else "similar", size))
    return plans


def _name(plan: Plan) -> str:
    """Describe a plan in words."""
    names = ("UniverSeg", "ProtoSAM without decoder", "ProtoSAM")
    used = [(name, weight) for name, weight in zip(names, plan.weights, strict=False) if weight > 0]
    text = used[0][0] if len(used) == 1 else " and ".join(f"{weight:.0%} {name}" for name, weight in used)
    if plan.support != "all":
        text = f"{text}, {plan.support_size} most similar examples"
    return text if plan.threshold == 0.5 else f"{text}, threshold {plan.threshold:g}"
