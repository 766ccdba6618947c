"""Choose how much work to do at once from the memory of the machine."""

import os
from collections.abc import Iterable
from pathlib import Path

BASE = 2**30
"""Bytes of a process that has imported its libraries."""

GROWTH = {True: 80, False: 20}
"""Bytes of memory for one byte of a file, compressed or not: a voxel of 2 bytes becomes 34 to 40 bytes of arrays."""

COMPRESSED = (".gz", ".npz", ".png", ".jpg", ".jpeg", ".nrrd", ".mha", ".zip")


def available_memory() -> int:
    """Return the bytes that new processes may use without swapping; all memory where the system tells no better."""
    page = os.sysconf("SC_PAGE_SIZE")
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if name in os.sysconf_names and os.sysconf(name) > 0:
            return page * os.sysconf(name)
    return 8 * 2**30


def processes_that_fit(wanted: int, items: Iterable[Iterable[Path]], memory: int) -> int:
    """Return how many processes may work at once: at most `wanted`, at least one, and no more than memory allows.

    Args:
        items: files that are read together, for each piece of work; the largest decides.
        memory: bytes for all processes.
    """
    largest = max((sum(map(_need, files)) for files in items), default=0)
    return max(1, min(wanted, memory // (BASE + largest)))


def _need(file: Path) -> int:
    try:
        return file.stat().st_size * GROWTH[file.name.lower().endswith(COMPRESSED)]
    except OSError:  # reading the file will show the problem
        return 0
