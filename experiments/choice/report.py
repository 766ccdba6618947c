"""Make the table of `experiments.choice.measure`: methods, the automatic choice, and the forecast.

    python -m experiments.choice.report --corpus POOL --maps DIR --out experiments/results/choice.md
    python -m experiments.choice.report --corpus POOL --maps DIR --corpus HELDOUT --maps DIR2 --out ...

Give one --maps for each --corpus. Only tasks with the files of both models are in the table.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from experiments.benchmark.machine import machine
from experiments.choice.trials import SHAPE, make_trials, maps_file, read
from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.auto import FEWEST, SHARES
from universeg_jax.segment.forecast import Forecast, certainty
from universeg_jax.segment.labels import Classes
from universeg_jax.segment.leave_one_out import left_out_entries
from universeg_jax.segment.selection import expected, select, thresholds
from universeg_jax.weights.loading import PROTOSAM_SHARE

METHODS = ("UniverSeg", "ProtoSAM", "blend", "auto without retrieval", "auto")
ABOUT = (
    "`python -m experiments.choice.measure --corpus CORPUS --encodings ENCODINGS --out MAPS --model MODEL` for each of",
    "both models, then",
    "`python -m experiments.choice.report --corpus CORPUS --maps MAPS --out experiments/results/choice.md`",
    "",
    "One draw of the examples, 8 targets (at most a third of a small set), images of 128 pixels, ProtoSAM without its",
    "decoder. No subject is in an example and a target, as far as names tell subjects. The sets of `pool` are training",
    "sets that open-v4 has not learned from; weights and margins were chosen on four of them. Nothing was chosen on",
    "`heldout` and `small_sets`, held-out sets of 4 to 20 images.",
    "Blend is the mean with the weights of `universeg+protosam`. Auto chooses weights, threshold and examples by",
    "leave-one-out from 4 examples on. A plan names the share of ProtoSAM, similar examples, and the threshold.",
)
BINARY = Classes(np.array([False, True]))
COMPARED = ("UniverSeg", "ProtoSAM", "blend")


@dataclass
class Found:
    """Results of one support set of one task.

    Attributes:
        dice: Dice (T,) of the targets by method.
        chosen: name of the plan that was chosen.
        forecast: the forecast of the choice; None without leave-one-out.
        certainties: (T,) certainty of each target by the choice.
    """

    corpus: str
    task: str
    size: int
    dice: dict[str, np.ndarray]
    chosen: str = ""
    forecast: Forecast | None = None
    certainties: np.ndarray = field(default_factory=lambda: np.zeros(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", required=True, metavar="DIR")
    parser.add_argument("--maps", type=Path, action="append", required=True, metavar="DIR")
    parser.add_argument("--tasks-of-dataset", type=int, action="append", metavar="N", help="as in measure")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.md")
    arguments = parser.parse_args()
    numbers = arguments.tasks_of_dataset or [1] * len(arguments.corpus)
    found = []
    for folder, maps, number in zip(arguments.corpus, arguments.maps, numbers, strict=True):
        found += evaluated(folder, maps, number)
    arguments.out.write_text(page(found), encoding="utf-8")
    rows = [
        {"corpus": f.corpus, "task": f.task, "examples": f.size, "chosen": f.chosen}
        | {name: round(float(values.mean()), 4) for name, values in f.dice.items()}
        | ({} if f.forecast is None else {"forecast": round(f.forecast.dice, 4)})
        for f in found
    ]
    results = {"machine": machine(), "shares": PROTOSAM_SHARE, "rows": rows}
    arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(found, arguments.out.with_suffix(".png"))


def evaluated(folder: Path, maps: Path, number: int) -> Iterator[Found]:
    """Yield the results of all measured support sets of a corpus."""
    corpus = Corpus(folder)
    for trial in make_trials(corpus, **SHAPE, tasks_of_dataset=number):
        for draw, examples in enumerate(trial.draws):
            files = [maps_file(maps, trial, draw, model) for model in ("universeg", "protosam")]
            if not all(file.exists() for file in files):
                continue
            known = {}
            for file in files:
                with np.load(file) as archive:
                    known |= {key: archive[key].astype(np.float32) for key in archive.files}
            _, truths = read(corpus, trial.task, trial.targets)
            _, labels = read(corpus, trial.task, examples)
            for key in known:
                match = re.fullmatch(r"universeg targets (\d+)", key)
                if match and f"protosam targets {match[1]}" in known:
                    size = int(match[1])
                    left_out = [labels[i] for i in left_out_entries(size)]
                    yield evaluated_dices(folder.name, trial.task.name, size, known, truths, left_out)


def evaluated_dices(corpus: str, task: str, size: int, known: dict, truths: list, labels: list) -> Found:
    """Mix the maps of both models, choose as `segment.auto` does, and measure Dice.

    Args:
        corpus: its name.
        task: its name.
        size: number of examples.
        known: probabilities by "MODEL KIND SIZE".
        truths: masks of the targets.
        labels: masks of the examples that are left out.
    """

    def mixed(kind: str, share: float, similar: bool = False) -> np.ndarray:
        ours = f"universeg {kind.replace('targets', 'similar').replace('out', 'similar') if similar else kind} {size}"
        return (1 - share) * known[ours] + share * known[f"protosam {kind} {size}"]

    share = PROTOSAM_SHARE[max(number for number in PROTOSAM_SHARE if number <= size)]
    found = Found(corpus, task, size, {})
    for name, plan in {"UniverSeg": (0.0, False), "ProtoSAM": (1.0, False), "blend": (share, False)}.items():
        found.dice[name] = dices(mixed("targets", *plan), truths)
    plans, scores, levels = [(share, False)], [], thresholds(size)
    if f"protosam left out {size}" in known:
        scores.append(dices(mixed("left out", *plans[0]), labels)[None])
        retrieval = (False, True) if f"universeg left similar {size}" in known else (False,)
        for similar, part in product(retrieval, SHARES) if size >= FEWEST else ():
            if similar and part == 1:
                continue
            left = mixed("left out", part, similar)
            plans.append((part, similar))
            scores.append(np.stack([dices(left, labels, level) for level in levels]))
    without = [i for i, plan in enumerate(plans) if not plan[1]]
    for name, tried in {"auto without retrieval": without, "auto": range(len(plans))}.items():
        best, level = select([scores[i] for i in tried]) if scores else (0, 0)
        share, similar = plans[tried[best]]
        threshold = levels[level] if best > 0 else 0.5
        chosen = shifted(mixed("targets", share, similar), threshold)
        found.dice[name] = dices(chosen, truths)
    found.chosen = f"{share:.0%} ProtoSAM{', similar' * similar}, {threshold:g}"
    found.certainties = np.array([certainty(one) for one in chosen])
    if scores:
        left = shifted(mixed("left out", share, similar), threshold)
        known = Forecast.of(expected(scores), np.array([certainty(one) for one in left]))
        found.forecast = known and known.for_images(len(truths))
    return found


def dices(maps: np.ndarray, truths: Sequence[np.ndarray], threshold: float = 0.5) -> np.ndarray:
    """Return the Dice (N,) of probabilities (N,H,W)."""
    return np.array([dice(one > threshold, truth) for one, truth in zip(maps, truths, strict=True)])


def shifted(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Shift probabilities as the library does."""
    return BINARY.shifted(maps[..., None], threshold)[..., 0]


def page(found: list[Found]) -> str:
    """Format all tables as Markdown."""
    lines = ["# Choosing between UniverSeg, ProtoSAM and their mean", "", *ABOUT, ""]
    for corpus in dict.fromkeys(f.corpus for f in found):
        own = [f for f in found if f.corpus == corpus]
        sizes = sorted({f.size for f in own})
        lines += [f"## {corpus}", "", "Mean Dice over tasks.", ""]
        lines += [f"| examples | tasks | {' | '.join(METHODS)} |", "|---" * (len(METHODS) + 2) + "|"]
        for size in sizes:
            some = [f for f in own if f.size == size]
            cells = [f"{np.mean([f.dice[name].mean() for f in some]):.3f}" for name in METHODS]
            lines.append(f"| {size} | {len(some)} | {' | '.join(cells)} |")
        lines += ["", "Difference between auto and other methods, over tasks, with 95 % bootstrap intervals.", ""]
        lines += [
            "| examples | less UniverSeg | less ProtoSAM | less blend | less the better of both, worst task |",
            "|---" * 5 + "|",
        ]
        for size in sizes:
            some = [f for f in own if f.size == size]
            cells = [interval(np.array([(f.dice["auto"] - f.dice[n]).mean() for f in some])) for n in COMPARED]
            worst = min(some, key=_lag)
            cells.append(f"{_lag(worst):+.3f} ({worst.task})")
            lines.append(f"| {size} | {' | '.join(cells)} |")
        lines += ["", "| task | examples | UniverSeg | ProtoSAM | blend | auto | chosen | forecast |", "|---" * 8 + "|"]
        for f in own:
            forecast = "" if f.forecast is None else f"{f.forecast.dice:.3f}"
            cells = [f"{f.dice[name].mean():.3f}" for name in ("UniverSeg", "ProtoSAM", "blend", "auto")]
            lines.append(f"| {f.task} | {f.size} | {' | '.join(cells)} | {f.chosen} | {forecast} |")
        lines += ["", *forecasts(own), ""]
    return "\n".join(lines)


def _lag(found: Found) -> float:
    return float(found.dice["auto"].mean() - max(found.dice["UniverSeg"].mean(), found.dice["ProtoSAM"].mean()))


def forecasts(found: list[Found]) -> list[str]:
    """Compare forecasts of tasks and of images with the truth, as lines of Markdown."""
    known = [f for f in found if f.forecast is not None]
    if len(known) < 3:
        return []
    forecast, truth = (
        np.array(x) for x in zip(*((f.forecast.dice, f.dice["auto"].mean()) for f in known), strict=True)
    )
    inside = np.mean([f.forecast.low <= f.dice["auto"].mean() <= f.forecast.high for f in known])
    rows = [(f.certainties - f.certainties.mean(), f.dice["auto"] - f.dice["auto"].mean()) for f in known]
    x, y = (np.concatenate(part) for part in zip(*rows, strict=True))
    within = [stats.spearmanr(f.certainties, f.dice["auto"])[0] for f in known if f.dice["auto"].std() > 0]
    return [
        "| forecast | value |",
        "|---|---|",
        f"| support sets | {len(known)} |",
        f"| correlation of forecast and mean Dice of the targets | {np.corrcoef(forecast, truth)[0, 1]:.3f} |",
        f"| mean absolute error | {np.abs(forecast - truth).mean():.3f} |",
        f"| mean error (forecast less truth) | {(forecast - truth).mean():+.3f} |",
        f"| truth inside of the interval | {inside:.0%} |",
        f"| slope of Dice by certainty, within tasks | {(x * y).sum() / (x * x).sum():.2f} |",
        f"| rank correlation of certainty and Dice, mean within tasks | {np.nanmean(within):.2f} |",
    ]


def interval(differences: np.ndarray) -> str:
    """Return the mean and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = [differences[rng.integers(len(differences), size=len(differences))].mean() for _ in range(2000)]
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def draw(found: list[Found], file: Path) -> None:
    """Plot forecast against truth."""
    figure = Figure(figsize=(5, 5), layout="constrained", dpi=110)
    axes = figure.subplots()
    for corpus in dict.fromkeys(f.corpus for f in found):
        known = [f for f in found if f.forecast is not None and f.corpus == corpus]
        axes.scatter([f.forecast.dice for f in known], [f.dice["auto"].mean() for f in known], s=22, label=corpus)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="forecast by leave-one-out", ylabel="mean Dice of new images", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(file)


if __name__ == "__main__":
    run(main)
