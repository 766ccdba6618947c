"""Measure in separate processes: time to the first result, and peak memory."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.benchmark.sides import episode, official, ours, processors


def first_result(side: str, *, entries: int, cache: Path | None) -> dict:
    """Measure seconds from the start of Python to the first logits, with compiled code in `cache`."""
    environment = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    start = time.perf_counter()
    _in_own_process(side, entries=entries, environment=environment if cache else {})
    return {"side": side, "entries": entries, "cached": cache is not None, "seconds": time.perf_counter() - start}


def first_results(sides: list[str], *, entries: int) -> list[dict]:
    """Measure without a cache, and ours again with the filled cache."""
    results = [first_result(side, entries=entries, cache=None) for side in sides]
    with tempfile.TemporaryDirectory() as cache:
        first_result("ours", entries=entries, cache=Path(cache))
        results.append(first_result("ours", entries=entries, cache=Path(cache)))
    return results


def peak_memory(side: str, *, entries: int) -> dict:
    """Measure peak megabytes of two calls, above the memory of the process before its arrays and model."""
    return {"side": side, "entries": entries, **_in_own_process(side, entries=entries, environment={})}


def _in_own_process(side: str, *, entries: int, environment: dict[str, str]) -> dict:
    command = [sys.executable, "-m", "experiments.benchmark.processes", side, str(entries)]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _peak() -> float:
    """Read the peak megabytes of this process. (`ru_maxrss` may stem from the parent process on Linux.)"""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000_000


def _main(side: str, entries: int) -> None:
    if side == "ours":
        import jax

        jax.devices()
    else:
        import torch  # noqa: F401
        import universeg  # noqa: F401

    imported = _peak()
    arrays = episode(1, entries, 128)
    run = ours(*arrays) if side == "ours" else official(*arrays, threads=processors())
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    start = time.perf_counter()
    run()
    again = time.perf_counter() - start
    print(json.dumps({"imported_mb": imported, "peak_mb": _peak() - imported, "first_call": first, "call": again}))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
