"""Measure the time of one call, ours and the official code's, eager and compiled, in turn in one process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.benchmark.sides import episode, official, ours, processors
from experiments.benchmark.turns import in_turn, medians, ratio
from experiments.benchmark.work import multiply_adds, official_multiply_adds
from universeg_jax.models.universeg import UniverSegConfig

LARGE = 64 * 128**2  # pixels of support and targets beyond which three runs have to do
OFFICIAL_BYTES = 3300  # a pixel of the support, at the peak of the official code (measured at S = 64)
LARGEST_DIFFERENCE = 1e-4  # of logits, relative to their standard deviation


def available_memory() -> float:
    """Estimate the free memory in bytes; 8e9 if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 8e9
    return next((1024 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable")), 8e9)


@dataclass(frozen=True)
class Case:
    """A case: `targets` of one task with `entries` support images, all of `size` pixels; written 1x16x128."""

    targets: int
    entries: int
    size: int

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Read a case from text such as 1x16x128.

        Raises:
            ValueError: the text is not three numbers.
        """
        targets, entries, size = map(int, text.split("x"))
        return cls(targets, entries, size)


# Up to 256 support entries; targets that share their support; images that grow at a fixed support.
CASES = (
    *(Case(1, entries, 128) for entries in (1, 4, 16, 64, 256)),
    Case(32, 16, 128),
    *(Case(1, 16, size) for size in (64, 256, 512)),
)
QUICK_CASES = tuple(case for case in CASES if case.targets == 1 and case.entries <= 64 and case.size == 128)


def measure(case: Case, *, runs: int, with_official: bool, with_compiled: bool = False) -> dict:
    """Measure median seconds of each side, and the median ratios of consecutive runs.

    Args:
        case: the shapes.
        runs: runs of each side; large cases take three at most.
        with_official: run the official code as well, if its memory suffices.
        with_compiled: run the official code through `torch.compile` as well.

    Raises:
        AssertionError: the logits of the sides differ.
    """
    arrays = episode(case.targets, case.entries, case.size)
    fits = OFFICIAL_BYTES * case.entries * case.size**2 < available_memory()
    sides: dict[str, Callable[[], np.ndarray]] = {"ours": ours(*arrays)}
    if with_official and fits:
        sides["official"] = official(*arrays, threads=processors())
        if with_compiled:
            sides["compiled"] = official(*arrays, threads=processors(), compiled=True)
    outputs = {name: run() for name, run in sides.items()}  # compiles, and warms up
    work = {"entries": case.entries, "size": case.size}
    result = {
        **vars(case),
        "multiply_adds": case.targets * multiply_adds(UniverSegConfig.v1(), **work),
        "official_multiply_adds": case.targets * official_multiply_adds(UniverSegConfig.v1(), **work),
    }
    theirs = [name for name in sides if name != "ours"]
    for name in theirs:
        difference = np.abs(outputs["ours"] - outputs[name]).max() / outputs[name].std()
        if not difference < LARGEST_DIFFERENCE:
            raise AssertionError(f"{case}, {name}: logits differ by {difference:.1e} of their standard deviation")
        result["difference"] = max(float(difference), result.get("difference", 0.0))
    if case.targets * case.entries * case.size**2 > LARGE:
        runs = min(runs, 3)
    result["runs"] = runs
    taken = in_turn(sides, runs=runs)
    result |= medians(taken)
    for name in theirs:
        found = ratio(taken, ours="ours", theirs=name)
        result |= found if name == "official" else {f"{name}_{key}": value for key, value in found.items()}
    return result
