"""A task: models with a support set, ready to segment any number of images."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.models.in_context import Predictor, nearest_entries, similarity
from universeg_jax.segment.auto import Choice, choose_plan
from universeg_jax.segment.diagnose import diagnose_results, diagnose_targets
from universeg_jax.segment.forecast import Forecast, certainty
from universeg_jax.segment.labels import Classes
from universeg_jax.segment.leave_one_out import LeaveOneOut
from universeg_jax.segment.plan import SIMILAR, Plan, RunningMean, Shown
from universeg_jax.segment.preprocess import Arrays, View, entries, is_list
from universeg_jax.segment.support import BATCH_SIZES, ModelTask, Support
from universeg_jax.util.checks import check_number

if TYPE_CHECKING:
    from universeg_jax.segment.segmenter import Segmenter

MOST_KEPT = 16  # predictors of an ensemble in memory, each with its support set


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result for one image of height H and width W.

    Attributes:
        mask: (H,W) class values, in the dtype of the labels; bool if they were soft.
        probability: float32 in [0,1]; (H,W) of the larger class value if binary, otherwise (H,W,K) in the
            order of `Task.classes`.
        spread: standard deviation of the probability over models and draws of an ensemble, in the same shape; None
            for one model and one draw.
        predicted_dice: Dice to expect of this image, from the task's forecast and the certainty of the probability.
            None before `Task.forecast` is called, and with one example.
    """

    mask: np.ndarray
    probability: np.ndarray
    spread: np.ndarray | None
    predicted_dice: float | None = None


class Task:
    """A task with its support set, made by `Segmenter.fit`. The methods share their arguments and differ in results.

    Args of all methods:
        images: N images to segment, as in `Segmenter.fit`. A list gives a list of results, one array gives one array.
        support: examples shown for each image. "all" shows all of them, "similar" those most similar to the image. An
            array (N,S) gives the weight of each of the S examples for each image. None follows the plan of the task.
        support_size: number of similar examples (None: 16), or entries in a draw of an ensemble. Draws are without
            replacement, and show every class. None takes half of the entries, but at least as many as classes.
        ensemble: number of random draws from the support set whose probabilities are averaged.
        seed: seed of the draws.
        names: names of the images in messages; None numbers them from 0.
        threshold: probability that separates the two classes of a binary task, in (0,1).

    All methods raise InputError for images and options that cannot be used. They warn (SegmentationWarning) of constant
    images, and of empty results. They also warn if intensities, polarity or sizes differ from the support set.

    Attributes:
        segmenter: the segmenter that made it.
        labels: labels (H,W) of the support images.
        members: the support set, prepared for each model.
        plan: the default way to segment images of this task.
        choice: the choice of the plan and its reason, if the segmenter chooses automatically; otherwise None.
    """

    def __init__(self, segmenter: "Segmenter", views: Sequence[Sequence[View]], labels: Sequence[np.ndarray]):
        self.segmenter, self.labels = segmenter, labels
        self._classes = Classes.of(labels, [view.name for view in views[0]])
        kinds = {id(own): own for own in views}  # models that prepare images alike share views and support
        supports = {
            kind: Support.of(own, (self._classes.problems(label) for label in labels)) for kind, own in kinds.items()
        }
        self.members = [
            ModelTask(model, own, supports[id(own)], self._classes, segmenter.dtype)
            for model, own in zip(segmenter.blend.models, views, strict=True)
        ]
        self.plan = Plan(segmenter.blend.weights_for(len(labels)))
        self.choice: Choice | None = None
        self._forecast: Forecast | None = None

    @property
    def classes(self) -> np.ndarray:
        """(K,) class values, ascending, in the dtype of predicted masks."""
        return self._classes.values

    @property
    def views(self) -> Sequence[View]:
        """Support images, prepared for the first model."""
        return self.members[0].views

    @property
    def support(self) -> Support:
        """Arrays for the first model."""
        return self.members[0].support

    def choose(self, choice: Choice | None = None) -> Choice:
        """Choose the plan by leave-one-out over the examples, for a task of an automatic segmenter.

        Args:
            choice: choice of the same segmenter for a task with fewer of these examples; it is used again.
        """
        self.choice = choose_plan(self) if choice is None else choice
        self.plan, self._forecast = self.choice.plan, self.choice.forecast
        return self.choice

    def forecast(self) -> Forecast | None:
        """Return the Dice to expect on new images, by leave-one-out over at most 16 examples with the task's plan.

        The first call takes about as long as segmenting the examples. With one example there is no forecast: None.
        """
        if self._forecast is None and len(self.labels) > 1:
            left_out = LeaveOneOut(self)
            similar = (self.plan.support_size or SIMILAR) if self.plan.support == "similar" else None
            maps = left_out.blended(self.plan.weights, similar)
            threshold = self.plan.threshold
            self._forecast = Forecast.of(left_out.dice(maps, threshold), left_out.certainty(maps, threshold))
        return self._forecast

    def shifted(self, probabilities: np.ndarray, threshold: float) -> np.ndarray:
        """Shift probabilities (…,P) of the task's classes so that the threshold becomes 0.5 (`Plan.threshold`)."""
        return self._classes.shifted(probabilities, threshold)

    def predict(
        self,
        images: Arrays,
        *,
        threshold: float = 0.5,
        support: Shown | None = None,
        support_size: int | None = None,
        ensemble: int = 1,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray] | np.ndarray:
        """Return masks (H,W) of class values: above the threshold if binary, otherwise the likeliest class."""
        plan = self._plan(support, support_size, ensemble, seed)
        masks = [result.mask for result in self._results(images, names, threshold, plan)]
        return masks if is_list(images) else np.stack(masks)

    def predict_proba(
        self,
        images: Arrays,
        *,
        support: Shown | None = None,
        support_size: int | None = None,
        ensemble: int = 1,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray] | np.ndarray:
        """Return probabilities, float32: (H,W) of the larger class value if binary, else (H,W,K) as in `classes`."""
        plan = self._plan(support, support_size, ensemble, seed)
        probabilities = [result.probability for result in self._results(images, names, 0.5, plan)]
        return probabilities if is_list(images) else np.stack(probabilities)

    def segment(
        self,
        images: Arrays,
        *,
        threshold: float = 0.5,
        support: Shown | None = None,
        support_size: int | None = None,
        ensemble: int = 1,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[Segmentation]:
        """Return mask, probability, and spread over models and draws for each image."""
        return self._results(images, names, threshold, self._plan(support, support_size, ensemble, seed))

    def _plan(self, support: Shown | None, support_size: int | None, ensemble: int, seed: int) -> Plan:
        """Replace options of the task's plan by options that are given."""
        plan = replace(self.plan, ensemble=ensemble, seed=seed)
        if support is not None:
            plan = replace(plan, support=support if isinstance(support, str) else np.asarray(support, np.float32))
        elif ensemble > 1:
            plan = replace(plan, support="all")
        if support is not None or ensemble > 1 or support_size is not None:
            plan = replace(plan, support_size=support_size)
        return plan.checked(len(self.labels))

    def _results(self, images: Arrays, names: Sequence[str] | None, threshold: float, plan: Plan) -> list[Segmentation]:
        """Segment images for the public methods; warnings point at their callers."""
        listed, names = entries(images, names, kind="image")
        check_number("threshold", threshold, above=0, below=1)
        views = self.segmenter.views(self.members[0].model, listed, names)
        for message in diagnose_targets(views, self.views):
            warnings.warn(message, SegmentationWarning, stacklevel=3)
        shown = [len(self.labels) if draw is None else len(draw) for draw in self._draws(plan)]  # checks every draw
        if plan.ensemble > 1 and shown[0] == len(self.labels):
            warnings.warn(
                f"ensemble={plan.ensemble}: every draw shows all {len(self.labels)} support entries, so all draws are "
                "the same: omit ensemble, or pass a smaller support_size",
                SegmentationWarning,
                stacklevel=3,
            )
        results = list(self._segmentations(listed, views, plan, threshold))
        for message in diagnose_results(views, [(result.mask == self.classes[0]).all() for result in results]):
            warnings.warn(message, SegmentationWarning, stacklevel=3)
        return results

    def _draws(self, plan: Plan) -> Iterator[np.ndarray | None]:
        """Draw the entries of an ensemble, one draw after the other; None stands for all of them."""
        whole = plan.ensemble == 1 and plan.support_size is None
        if whole or not isinstance(plan.support, str) or plan.support != "all":
            yield None
            return
        number, size = len(self.labels), plan.support_size
        if size is None:
            size = max(number // 2, min(number, len(self.support.labels)))
        rng = np.random.default_rng(plan.seed)
        for _ in range(plan.ensemble):
            yield self.support.draw(rng, size)

    def _predictors(self, member: ModelTask, plan: Plan, kept: list[Predictor]) -> Iterator[Predictor]:
        """Yield the predictor of each draw. The first few are kept for the next batch; the others are made again."""
        for i, draw in enumerate(self._draws(plan)):
            if i < len(kept):
                yield kept[i]
                continue
            predictor = member.predictor(draw)
            if i < MOST_KEPT:
                kept.append(predictor)
            yield predictor

    def _weights(self, views: Sequence[View], plan: Plan) -> np.ndarray | None:
        """Return the weights (N,S) of examples for targets; None for equal weights."""
        if not isinstance(plan.support, str):
            if len(plan.support) != len(views):
                raise InputError(f"support has weights for {len(plan.support)} images, but {len(views)} are given")
            return plan.support
        size = min(plan.support_size or SIMILAR, len(self.labels))
        if plan.support == "all" or size == len(self.labels):
            return None
        similarities = similarity(*(np.stack([view.pixels for view in own]) for own in (views, self.views)))
        return nearest_entries(similarities, self.support.shown, size).astype(np.float32)

    def _segmentations(
        self,
        images: Sequence[np.ndarray],
        views: Sequence[View],
        plan: Plan,
        threshold: float,
    ) -> Iterator[Segmentation]:
        weights = self._weights(views, plan)
        active = [(member, weight) for member, weight in zip(self.members, plan.weights, strict=True) if weight > 0]
        kept: list[list[Predictor]] = [[] for _ in active]
        total, hidden = len(images) * len(active) * plan.ensemble, not self.segmenter.progress
        with tqdm(total=total, desc="segmenting", unit="image", delay=1, disable=hidden) as bar:
            for start in range(0, len(images), BATCH_SIZES[-1]):
                batch = slice(start, start + BATCH_SIZES[-1])
                shown = None if weights is None else weights[batch]
                means = [RunningMean() for _ in views[batch]]
                for (member, weight), own in zip(active, kept, strict=True):
                    prepared = views[batch]
                    if member is not self.members[0]:
                        names = [view.name for view in prepared]
                        prepared = self.segmenter.views(member.model, images[batch], names)
                    for predictor in self._predictors(member, plan, own):
                        maps = member.probability(prepared, predictor, shown)
                        for mean, view, one in zip(means, prepared, maps, strict=True):
                            mean.add(view.frame.back(one), weight)
                        bar.update(len(prepared))
                for mean in means:
                    yield self._result(mean, plan, threshold)

    def _result(self, mean: RunningMean, plan: Plan, threshold: float) -> Segmentation:
        probability, spread = self.shifted(mean.mean, plan.threshold), mean.spread
        mask = self._classes.mask(probability, threshold=threshold)
        if self._classes.binary:
            probability = probability[..., 0]
            spread = None if spread is None else spread[..., 0]
        predicted = None if self._forecast is None else self._forecast.of_image(certainty(probability))
        return Segmentation(mask, probability, spread, predicted)
