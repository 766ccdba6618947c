"""Sides of a comparison, timed in turn in one process: what else the machine does meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Taken(NamedTuple):
    """Seconds of one run: of the clock, and of all threads' processor time, which other work changes less."""

    wall: float
    processor: float


def in_turn(sides: Mapping[str, Callable[[], object]], *, runs: int) -> dict[str, list[Taken]]:
    """Run each side once, then each again, `runs` times in all. A side returns when it is done, and is warm already."""
    taken: dict[str, list[Taken]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, run in sides.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            taken[name].append(Taken(time.perf_counter() - wall, time.process_time() - processor))
    return taken


def medians(taken: Mapping[str, Sequence[Taken]]) -> dict[str, float | None]:
    """{side}_seconds and {side}_processor_seconds; None where nothing was run."""
    row = {}
    for name, times in taken.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True)) if times else (None, None)
        row |= {f"{name}_seconds": wall, f"{name}_processor_seconds": processor}
    return row


def ratio(taken: Mapping[str, Sequence[Taken]], *, ours: str, theirs: str) -> dict:
    """How many times longer theirs takes: median and range of the ratios of runs that follow each other."""
    ratios = [b.wall / a.wall for a, b in zip(taken[ours], taken[theirs], strict=True)]
    return {"ratio": statistics.median(ratios), "ratio_range": (min(ratios), max(ratios))}
