"""Runs in processes of their own, that can be killed. Imported ahead by the server that forks them."""

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
from universeg_jax.train.devices import Devices
from universeg_jax.train.loop import STOPPED, Stopped, train

RUN = config(policy=LIGHT, stages=(STAGE, STAGE), validate_every=4, ema=0.9)
SECONDS = 0.02
"""That an episode takes to be read, so that there is time to be killed."""


def compiling(folder: Path) -> dict[str, Any]:
    """Options of JAX: to keep compiled code in a folder, and to compile quickly rather than well."""
    return {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_disable_most_optimizations": True,
    }


def run(out: Path, compiled: Path) -> None:
    """The run, as `experiments.train` would do it."""
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
    """Send a signal when the moment has come. The exit code, negative for a signal."""
    deadline = time.monotonic() + 300
    while not moment() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.0005)
    if process.is_alive():
        os.kill(process.pid, number)
    process.join(300)
    return process.exitcode
