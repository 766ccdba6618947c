"""Time the sides of a comparison in turn in one process, so that other work affects all alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Taken(NamedTuple):
    """Seconds of one run: by the clock, and processor time of all threads, which other work changes less."""

    wall: float
    processor: float


def in_turn(sides: Mapping[str, Callable[[], object]], *, runs: int) -> dict[str, list[Taken]]:
    """Run all sides in turn, `runs` times. A side must be warm and return when it is done."""
    taken: dict[str, list[Taken]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, run in sides.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            taken[name].append(Taken(time.perf_counter() - wall, time.process_time() - processor))
    return taken


def medians(taken: Mapping[str, Sequence[Taken]]) -> dict[str, float | None]:
    """Compute {side}_seconds and {side}_processor_seconds; None without runs."""
    row = {}
    for name, times in taken.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True)) if times else (None, None)
        row |= {f"{name}_seconds": wall, f"{name}_processor_seconds": processor}
    return row


def ratio(taken: Mapping[str, Sequence[Taken]], *, ours: str, theirs: str) -> dict:
    """Compute how many times longer theirs takes: median and range of the ratios of consecutive runs."""
    ratios = [b.wall / a.wall for a, b in zip(taken[ours], taken[theirs], strict=True)]
    return {"ratio": statistics.median(ratios), "ratio_range": (min(ratios), max(ratios))}
