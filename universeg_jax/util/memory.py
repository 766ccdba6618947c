"""Choose how much work to do at once from the memory of the machine."""

import os
from pathlib import Path

BASE = 2**30
"""Bytes of a process that has imported its libraries."""

MEMINFO, LIMIT, USED = "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"


def available_memory() -> int:
    """Return the bytes that new processes may use without swapping; all memory where the system tells no better."""
    free = [found for found in (_free_of_machine(), _free_of_container()) if found is not None]
    if free:
        return max(0, min(free))
    if "SC_PHYS_PAGES" in os.sysconf_names and os.sysconf("SC_PHYS_PAGES") > 0:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 8 * 2**30


def processes_that_fit(wanted: int, need: int, memory: int) -> int:
    """Return how many processes may work at once: at most `wanted`, at least one, and no more than memory allows.

    Args:
        need: bytes that the largest piece of work takes.
        memory: bytes for all processes.
    """
    return max(1, min(wanted, memory // (BASE + need)))


def _free_of_machine() -> int | None:
    """Read the memory of a Linux machine that is free, or used for files that can be read again."""
    try:
        lines = Path(MEMINFO).read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _free_of_container() -> int | None:
    """Read what a container may still use; None without a limit."""
    try:
        limit, used = (int(Path(file).read_text(encoding="ascii")) for file in (LIMIT, USED))
    except (OSError, ValueError):  # no control group, or "max"
        return None
    return limit - used
