"""Output of a run for its user: report.json, the table of Dice, and warnings."""

import json
import platform
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean, median
from typing import Any, Protocol

import jax
from tqdm import tqdm

from universeg_jax.errors import SegmentationWarning
from universeg_jax.io.sheet import shorten
from universeg_jax.io.task_folder import SupportFolder
from universeg_jax.segment.auto import Choice
from universeg_jax.segment.folder import PredictionRecord, foreground
from universeg_jax.segment.forecast import Forecast
from universeg_jax.segment.task import Task

LONGEST_TABLE = 24
SUMMARY = (("mean", fmean), ("median", median), ("worst", min))
PACKAGES = ("universeg-jax", "jax", "flax", "numpy", "pillow")


@contextmanager
def warnings_on_stderr() -> Iterator[list[str]]:
    """Print each warning about the input once to stderr, and collect all of them in the returned list."""
    said: list[str] = []
    show_other = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, SegmentationWarning):
            show_other(message, category, *place, **more)
        elif str(message) not in said:
            said.append(str(message))
            tqdm.write(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", SegmentationWarning)
        warnings.showwarning = show
        yield said


def environment() -> dict:
    """Return versions and the device, which affect the last digits of results."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from its source folder
            versions[package] = None
    return {"versions": versions, "platform": platform.platform(), "device": jax.devices()[0].device_kind}


def task_report(support: SupportFolder, records: Sequence[PredictionRecord], task: Task) -> dict:
    """Describe one task for report.json."""
    report = {
        "support": {"folder": str(support.folder), "names": support.names},
        "classes": {support.coding.name(value): name for value, name in support.class_names.items()},
        "images": [asdict(record) for record in records],
    }
    report |= choice_report(task.choice, records)
    dices = [record.dice for record in records if record.dice is not None]
    if dices:
        report["mean_dice"] = round(fmean(dices), 4)
        report["mean_dice_of_class"] = {
            name: round(fmean(_dices(records, name)), 4) for name in foreground(support).values()
        }
    return report


class Predicted(Protocol):
    """Record of a segmented image or scan."""

    @property
    def name(self) -> str:
        """Name without ending."""
        ...

    @property
    def predicted_dice(self) -> float | None:
        """Dice to expect; None without a forecast."""
        ...


def choice_report(choice: Choice | None, records: Sequence[Predicted]) -> dict:
    """Describe an automatic choice for report.json; empty without one."""
    if choice is None:
        return {}
    forecast = forecast_of(records, choice)
    return {
        "choice": {name: getattr(choice, name) for name in ("name", "reason", "dice")},
        "forecast": None if forecast is None else asdict(forecast),
        "look_first": look_first(records),
    }


def _dices(records: Sequence[PredictionRecord], name: str) -> list[float]:
    """Return the Dice of a class in each image that was scored."""
    return [score for record in records if (score := record.classes[name].dice) is not None]


def look_first(records: Sequence[Predicted], most: int = 5) -> list[str]:
    """Name the images with the lowest predicted Dice, at most a quarter of all, rounded up; none without forecast."""
    predicted = [(record.predicted_dice, record.name) for record in records if record.predicted_dice is not None]
    ordered = sorted(predicted, key=lambda pair: pair[0])
    return [name for _, name in ordered[: min(most, -(-len(ordered) // 4))]]


def forecast_of(records: Sequence[Predicted], choice: Choice | None) -> Forecast | None:
    """Return the forecast of the mean Dice of these images or scans; None without one."""
    known = choice and choice.forecast
    return known.for_images(len(records) or None) if known else None


def choice_lines(records: Sequence[Predicted], choice: Choice | None) -> list[str]:
    """Describe the chosen plan, the forecast, and the images to look at first, one line each."""
    if choice is None:
        return []
    lines = [f"{choice.name}: {choice.reason}"]
    forecast = forecast_of(records, choice)
    if forecast is not None:
        lines.append(str(forecast))
    first = look_first(records)
    return [*lines, f"look first at {', '.join(first)}"] if first else lines


def dice_table(support: SupportFolder, records: Sequence[PredictionRecord]) -> str:
    """Format Dice as text: one line for each image (if they are few), one column for each class, and a summary."""
    classes = list(foreground(support).values())
    scored = [record for record in records if record.dice is not None]
    columns = [_dices(scored, name) for name in classes]
    rows = [(record.name, [column[i] for column in columns]) for i, record in enumerate(scored)]
    rows = rows if len(rows) <= LONGEST_TABLE else []
    summary = [(name, [of(column) for column in columns]) for name, of in SUMMARY]

    first = max(len(shorten(name, 32)) for name, _ in [*rows, *summary])
    heads = [f"{shorten(name, 16):>6}" for name in classes]

    def line(name: str, values: Sequence[float]) -> str:
        cells = [f"{value:>{len(head)}.3f}" for value, head in zip(values, heads, strict=True)]
        return "  ".join([f"{shorten(name, 32):<{first}}", *cells])

    head = "  ".join([f"{'Dice':<{first}}", *heads])
    return "\n".join([head, *(line(*row) for row in rows), "-" * len(head), *(line(*row) for row in summary)])


def write_report(path: Path, report: dict) -> None:
    """Write a report as indented JSON."""
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
