"""Compare the Dice of weights before and after fine-tuning, as a table, a picture and a model card."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from universeg_jax.evaluate.metrics import dice
from universeg_jax.evaluate.summary import Estimate, Summary, summarise
from universeg_jax.io.sheet import SUPPORT_SHOWN, Result, Section, ShownExample
from universeg_jax.segment.folder import evenly, foreground
from universeg_jax.train.finetune.run import FineTuningRun

COLUMNS = ("before", "after", "gain")
TARGETS_SHOWN = 6
STOPPED_BY = (
    " These images also decided when to stop, so expect less on new ones: with ten or more examples some are kept to "
    "measure on."
)


@dataclass(frozen=True)
class Comparison:
    """Dice of each class in each image that shows it, before and after fine-tuning.

    Attributes:
        weights: name of the original weights.
        held_out: whether the images had no part in the training; otherwise they decided when to stop.
        scores: (before, after) by class and by name of the image.
        masks: class values (H,W) before and after, by index of the example.
        summary: estimates of before, after and gain, with intervals over subjects.
    """

    weights: str
    held_out: bool
    scores: Mapping[str, Mapping[str, tuple[float, float]]]
    masks: tuple[Mapping[int, np.ndarray], Mapping[int, np.ndarray]]
    summary: Summary

    @property
    def helped(self) -> bool:
        """True if the mean Dice over the classes rose."""
        return bool(self.summary.over_tasks.mean[2] > 0)

    @property
    def certain(self) -> bool:
        """True if the interval of the gain excludes zero."""
        low = self.summary.over_tasks.low
        return low is not None and bool(low[2] > 0)

    def verdict(self, tuned: str) -> str:
        """Return a recommendation of one or two sentences."""
        if not self.helped:
            return f"Fine-tuning did not help here: stay with {self.weights}."
        measured = "" if self.held_out else STOPPED_BY
        if not self.certain:
            return f"The gain is no larger than chance may give on so few images; {tuned} may be no better.{measured}"
        return f"Fine-tuning helped: use {tuned}.{measured}"

    def report(self) -> dict:
        """Return the comparison as report.json holds it."""
        return {
            "measured_on": "test" if self.held_out else "validation",
            "helped": self.helped,
            "recommended": "fine-tuned" if self.helped else self.weights,
            "mean_dice": _as_json(self.summary.over_tasks),
            "mean_dice_of_class": {name: _as_json(self.summary.tasks[_task(name)]) for name in self.scores},
            "images": {
                name: {image: {"before": round(a, 4), "after": round(b, 4)} for image, (a, b) in of_class.items()}
                for name, of_class in self.scores.items()
            },
        }


def compare(work: FineTuningRun, before: Mapping[int, np.ndarray], after: Mapping[int, np.ndarray]) -> Comparison:
    """Compare the masks before and after fine-tuning, on the images that the run is measured on.

    An image counts for each class that its label shows.
    """
    examples, scores, cells = work.examples, {}, {}
    for value, name in foreground(examples).items():
        shown = [i for i in work.split.measured if (examples.labels[i] == value).any()]
        pairs = {
            i: (
                dice(before[i] == value, examples.labels[i] == value),
                dice(after[i] == value, examples.labels[i] == value),
            )
            for i in shown
        }
        scores[name] = {examples.names[i]: pair for i, pair in pairs.items()}
        cells[_task(name)] = {
            (work.subjects[i], examples.names[i]): np.array([a, b, b - a]) for i, (a, b) in pairs.items()
        }
    weights = Path(work.options.weights).name
    return Comparison(weights, bool(work.split.test), scores, (before, after), summarise(cells))


def markdown(comparison: Comparison, run: Path) -> str:
    """Return the table with a note on the measurement and a recommendation, in Markdown."""
    subjects = max(comparison.summary.subjects.values())
    return f"""\
{_table(comparison)}

Mean Dice of images that {_part(comparison)}, segmented by {comparison.weights} (before) and by the
fine-tuned weights (after), both shown the examples that were learned from. In brackets the 95 % bootstrap
interval over {subjects} {"subject" if subjects == 1 else "subjects"}.

{comparison.verdict(str(run / "best"))}
"""


def model_card(work: FineTuningRun, comparison: Comparison) -> str:
    """Return a model card of the fine-tuned weights, in Markdown."""
    stage, (learned, stopped, _) = work.config.stages[0], map(len, astuple(work.split))
    licence = work.provenance["licence"] or f"not stated by {comparison.weights}: ask those who made them"
    window = work.options.window
    return f"""\
# {comparison.weights}, fine-tuned
UniverSeg weights, fine-tuned from {comparison.weights} on one task: {", ".join(comparison.scores)}.

- Licence: {licence}, as of {comparison.weights}. The images they were fine-tuned on may add terms of their own.
- Not a medical device.
- Input: {stage.size}x{stage.size}, intensities scaled to [0,1] \
{"by each image's own minimum and maximum" if window is None else f"from {window[0]:g} to {window[1]:g}"}.
- Training: at most {stage.steps} steps with a batch size of {stage.batch_size}, up to {stage.support_sizes[1]} support
  entries, learning rate {stage.learning_rate:g}, on {learned} examples; {stopped} others decided when to stop.
- Whether they became worse at other tasks was not measured.

{_table(comparison)}

Measured on images that {_part(comparison)}. {comparison.verdict("these weights")}
"""


def section(work: FineTuningRun, comparison: Comparison) -> Section:
    """Return pictures of targets before and after, from the largest gain to the smallest."""
    examples, (before, after) = work.examples, comparison.masks

    def mean(i: int, which: int) -> float:
        pairs = [
            of_class[examples.names[i]] for of_class in comparison.scores.values() if examples.names[i] in of_class
        ]
        return fmean(pair[which] for pair in pairs)

    named = {name for of_class in comparison.scores.values() for name in of_class}
    ordered = [i for i in work.split.measured if examples.names[i] in named]
    ordered.sort(key=lambda i: mean(i, 0) - mean(i, 1))
    chosen = [ordered[i] for i in evenly(len(ordered), TARGETS_SHOWN)]
    results = [
        Result(f"{when}: {examples.names[i]}", examples.images[i], masks[i], examples.labels[i], mean(i, which))
        for i in chosen
        for which, (when, masks) in enumerate((("before", before), ("after", after)))
    ]
    shown = [work.split.train[i] for i in evenly(len(work.split.train), SUPPORT_SHOWN)]
    support = [ShownExample(examples.names[i], examples.images[i], examples.labels[i]) for i in shown]
    gains = comparison.summary.over_tasks.mean
    note = f"mean Dice {gains[0]:.3f} before, {gains[1]:.3f} after; of {len(ordered)} images "
    note += f"{len(chosen)} are shown, from the largest gain to the smallest, below {len(support)} of the examples"
    title = f"{examples.folder.resolve().name}: {comparison.weights} before and after fine-tuning"
    colours = examples.coding.colours(list(foreground(examples)))
    return Section(title, note, foreground(examples), support, results, colours)


def _task(name: str) -> str:
    """Return the name of a class in the summary. All classes share one dataset, so subjects are drawn together."""
    return f"examples/{name}"


def _part(comparison: Comparison) -> str:
    return "had no part in the training" if comparison.held_out else "decided when to stop the training"


def _table(comparison: Comparison) -> str:
    summary = comparison.summary
    rows = [(name, len(of_class), summary.tasks[_task(name)]) for name, of_class in comparison.scores.items()]
    if len(rows) > 1:
        images = {name for of_class in comparison.scores.values() for name in of_class}
        rows.append(("mean of classes", len(images), summary.over_tasks))
    lines = [f"| class | images | {' | '.join(COLUMNS)} |", "|---|---|---|---|---|"]
    for name, number, estimate in rows:
        before, after, gain = estimate.mean
        spread = ""
        if estimate.low is not None and estimate.high is not None:
            spread = f" [{estimate.low[2]:+.3f}, {estimate.high[2]:+.3f}]"
        lines.append(f"| {name} | {number} | {before:.3f} | {after:.3f} | {gain:+.3f}{spread} |")
    return "\n".join(lines)


def _as_json(estimate: Estimate) -> dict:
    values: dict[str, float | list[float]] = {
        column: round(float(value), 4) for column, value in zip(COLUMNS, estimate.mean, strict=True)
    }
    if estimate.low is not None and estimate.high is not None:
        values["gain_95"] = [round(float(edge[2]), 4) for edge in (estimate.low, estimate.high)]
    return values
