"""Training runs in separate processes that can be killed. The fork server imports this module ahead."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import tensorboardX  # noqa: F401

from tests.helpers.array_data import LIGHT, STAGE, ArrayData, config
from universeg_jax.train.loop import STOPPED, Stopped, train
from universeg_jax.train.step import Devices

RUN = config(policy=LIGHT, stages=(STAGE, STAGE), validate_every=4, ema=0.9)
SECONDS = 0.02
"""Time to read an episode, long enough to kill the run meanwhile."""


def compiling(folder: Path) -> dict[str, Any]:
    """List options of JAX that keep compiled code in a folder and compile quickly."""
    return {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_disable_most_optimizations": True,
    }


def run(out: Path, compiled: Path) -> None:
    """Run the training, as the command `train` does."""
    for name, value in compiling(compiled).items():
        jax.config.update(name, value)
    try:
        train(RUN, "", out, devices=Devices(1), quiet=True, data=ArrayData(seconds=SECONDS))
    except Stopped:
        sys.exit(STOPPED)


def started(out: Path, compiled: Path) -> multiprocessing.Process:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.array_run"])
    process = context.Process(target=run, args=(out, compiled))
    process.start()
    return process


def signalled(process: multiprocessing.Process, moment: Callable[[], bool], number: int = signal.SIGKILL) -> int:
    """Send a signal when `moment()` is true, and return the exit code, negative for a signal."""
    deadline = time.monotonic() + 300
    while not moment() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.0005)
    if process.is_alive():
        os.kill(process.pid, number)
    process.join(300)
    return process.exitcode
