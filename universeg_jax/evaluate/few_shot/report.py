"""Write the tables of the few-shot protocol.

OUT/few_shot.json       Dice of every organ and fold, options, versions
OUT/few_shot.md .tex    the same as tables
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from universeg_jax.evaluate.few_shot.runner import FewShotProtocol, FewShotScore, Skipped
from universeg_jax.evaluate.tables import Table

OUTPUTS = ("few_shot.json", "few_shot.md", "few_shot.tex")
MEAN = "mean"
KINDS = {"dice_3d": "3-D Dice of each scan", "dice_2d": "2-D Dice of each slice that shows the organ"}


class FoldMean(NamedTuple):
    """Mean Dice of one organ in one fold: over scans in 3-D, over all slices of all scans in 2-D."""

    dice_3d: float
    dice_2d: float


def fold_means(scores: Iterable[FewShotScore]) -> dict[str, dict[str, dict[tuple[int, int], FoldMean]]]:
    """Return the means by method, organ and (seed, fold)."""
    groups: dict[str, dict[str, dict[tuple[int, int], list[FewShotScore]]]] = {}
    for score in scores:
        key = score.key
        of_organ = groups.setdefault(key.method, {}).setdefault(key.organ, {})
        of_organ.setdefault((key.seed, key.fold), []).append(score)
    return {
        method: {
            organ: {
                place: FoldMean(
                    float(np.mean([score.dice_3d for score in of_fold])),
                    float(np.mean([value for score in of_fold for value in score.dice_2d])),
                )
                for place, of_fold in folds.items()
            }
            for organ, folds in organs.items()
        }
        for method, organs in groups.items()
    }


def overview_table(means: Mapping, kind: str) -> Table:
    """Make a table with a row for each method: the mean over folds of each organ, and over organs."""
    organs = list(dict.fromkeys(organ for of_method in means.values() for organ in of_method))
    rows = []
    for method, of_method in means.items():
        values = [_over_folds(of_method.get(organ, {}), kind) for organ in organs]
        rows.append([method, *map(_text, values), _text(float(np.nanmean(values)))])
    return Table(f"{KINDS[kind]}, mean over folds", ["method", *organs, MEAN], rows)


def fold_table(method: str, organs: Mapping, kind: str) -> Table:
    """Make a table of one method with a row for each fold, then the mean over folds."""
    places = sorted({place for folds in organs.values() for place in folds})
    several = len({seed for seed, _ in places}) > 1
    rows = []
    for place in places:
        values = [getattr(folds[place], kind) if place in folds else np.nan for folds in organs.values()]
        name = f"seed {place[0]}, fold {place[1]}" if several else f"fold {place[1]}"
        rows.append([name, *map(_text, values), _text(float(np.nanmean(values)))])
    values = [_over_folds(folds, kind) for folds in organs.values()]
    rows.append(["mean over folds", *map(_text, values), _text(float(np.nanmean(values)))])
    return Table(f"{method}: {KINDS[kind]}", ["", *organs, MEAN], rows)


def tables(scores: Iterable[FewShotScore]) -> list[Table]:
    """Return the overview of all methods in 3-D and 2-D, then the folds of each method."""
    means = fold_means(scores)
    overview = [overview_table(means, kind) for kind in KINDS]
    return overview + [fold_table(method, organs, kind) for method, organs in means.items() for kind in KINDS]


def write_report(
    out: Path,
    scores: Sequence[FewShotScore],
    skipped: Sequence[Skipped],
    protocol: FewShotProtocol,
    *,
    about: Mapping,
) -> list[Table]:
    """Write the tables and the JSON file, and return the tables.

    Args:
        out: folder of the report.
        scores, skipped, protocol: as `run_few_shot` takes and returns them.
        about: further contents of few_shot.json: command, versions, machine.
    """
    made = tables(scores)
    supports = {(s.key.seed, s.key.fold): s.support for s in scores}
    notes = [
        f"Fold {fold} of seed {seed}: support scan {support}." for (seed, fold), support in sorted(supports.items())
    ] + [f"Skipped: fold {s.fold} of seed {s.seed}, scan {s.scan}: {s.reason}." for s in skipped]
    head = f"# Few-shot evaluation\n\n`{about['command']}`\n\n" if "command" in about else "# Few-shot evaluation\n\n"
    text = head + "\n".join(table.markdown() for table in made) + "\n" + "\n".join(f"- {note}" for note in notes)
    (out / "few_shot.md").write_text(text + "\n", encoding="utf-8")
    (out / "few_shot.tex").write_text("\n".join(table.latex() for table in made), encoding="utf-8")
    content = {
        **about,
        "protocol": asdict(protocol),
        "means": {
            method: {
                organ: {
                    **{kind: round(_over_folds(folds, kind), 5) for kind in KINDS},
                    "folds": [{"seed": p[0], "fold": p[1], **_rounded(m)} for p, m in sorted(folds.items())],
                }
                for organ, folds in organs.items()
            }
            for method, organs in fold_means(scores).items()
        },
        "supports": [{"seed": p[0], "fold": p[1], "support": name} for p, name in sorted(supports.items())],
        "scores": [{**s.key._asdict(), "support": s.support, "dice_3d": s.dice_3d} for s in scores],
        "skipped": [asdict(s) for s in skipped],
    }
    (out / "few_shot.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return made


def _over_folds(folds: Mapping[tuple[int, int], FoldMean], kind: str) -> float:
    return float(np.mean([getattr(mean, kind) for mean in folds.values()])) if folds else float("nan")


def _text(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _rounded(mean: FoldMean) -> dict[str, float]:
    return {name: round(value, 5) for name, value in mean._asdict().items()}
