"""Write the tables of an evaluation on volumes.

OUT/volumes.json       scores of every scan, draw and structure, options, versions
OUT/volumes.md .tex    means with intervals
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from universeg_jax.evaluate.summary import Estimate, Summary, summarise
from universeg_jax.evaluate.tables import Table
from universeg_jax.evaluate.volumes import MEASURES, VolumeProtocol, VolumeScore

OUTPUTS = ("volumes.json", "volumes.md", "volumes.tex")
DIGITS = (3, 3, 1)


def volume_summary(scores: Sequence[VolumeScore]) -> Summary:
    """Summarise scores: means over the draws of each scan, then over scans and structures."""
    drawn: dict[str, dict[tuple[str, str], list[tuple]]] = {}
    for score in scores:
        for structure, of_structure in score.structures.items():
            cell = drawn.setdefault(f"volumes/{structure}", {}).setdefault((score.subject, score.key.scan), [])
            cell.append(of_structure)
    return summarise(
        {name: {scan: np.mean(own, axis=0) for scan, own in scans.items()} for name, scans in drawn.items()}
    )


def structure_table(summary: Summary, protocol: VolumeProtocol) -> Table:
    """Make a table with a row for each structure, then the mean over structures."""
    rows = [
        [task.removeprefix("volumes/"), str(summary.cases[task]), *_cells(estimate)]
        for task, estimate in summary.tasks.items()
    ]
    if len(rows) > 1:
        rows.append([f"mean over {len(rows)} structures", "", *_cells(summary.over_tasks)])
    number = f"{protocol.support} labelled volume{'s' if protocol.support > 1 else ''}"
    title = f"{number}, {protocol.draws} draws, {protocol.choice.size} slices shown"
    headings = ["structure", "scans", "3-D Dice", f"surface Dice, {protocol.tolerance:g} mm", "Hausdorff 95 %, mm"]
    return Table(title, headings, rows)


def draw_table(scores: Sequence[VolumeScore]) -> Table:
    """Make a table of the mean 3-D Dice of each draw."""
    names = list(dict.fromkeys(name for score in scores for name in score.structures))
    rows = []
    for draw in sorted({score.key.draw for score in scores}):
        of_draw = [score.structures for score in scores if score.key.draw == draw]
        dices = [np.mean([one[name][0] for one in of_draw if name in one] or [np.nan]) for name in names]
        rows.append([f"draw {draw}", *(f"{value:.3f}" for value in [*dices, np.nanmean(dices)])])
    return Table("3-D Dice of each draw", ["", *names, "mean"], rows)


def write_volume_report(
    out: Path, scores: Sequence[VolumeScore], protocol: VolumeProtocol, *, about: Mapping
) -> list[Table]:
    """Write the tables and the JSON file into a folder, and return the tables."""
    tables = [structure_table(volume_summary(scores), protocol), draw_table(scores)]
    command = f"`{about['command']}`\n\n" if "command" in about else ""
    note = "In brackets: 95 % bootstrap intervals over subjects. A structure counts in scans whose true mask shows it."
    text = f"# Evaluation on volumes\n\n{command}" + "\n".join(table.markdown() for table in tables) + f"\n{note}\n"
    (out / "volumes.md").write_text(text, encoding="utf-8")
    (out / "volumes.tex").write_text("\n".join(table.latex() for table in tables), encoding="utf-8")
    content = {
        **about,
        "protocol": asdict(protocol),
        "scores": [
            {
                **score.key._asdict(),
                "support": score.support,
                "structures": {name: dict(zip(MEASURES, own, strict=True)) for name, own in score.structures.items()},
            }
            for score in scores
        ],
    }
    (out / "volumes.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return tables


def _cells(estimate: Estimate) -> list[str]:
    cells = []
    for i, digits in enumerate(DIGITS):
        cell = f"{estimate.mean[i]:.{digits}f}"
        if estimate.low is not None and estimate.high is not None:
            cell += f" [{estimate.low[i]:.{digits}f}, {estimate.high[i]:.{digits}f}]"
        cells.append(cell)
    return cells
