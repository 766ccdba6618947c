"""Stopping a run from outside: SIGTERM, as schedulers send it, and Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils

STOPPED = 75
"""Exit code of a run that was asked to stop and saved its state: start it again and it goes on."""


class Stopped(Exception):
    """The run was asked to stop, saved its state, and can go on."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or Ctrl-C came, to this process or to another of the run.

    All processes ask together, after every step. A second signal acts at once, as if this were not here.
    """
    came, before = [], {}

    def remember(number: int, _) -> None:
        came.append(number)
        signal.signal(number, before[number])

    def asked() -> bool:
        if jax.process_count() == 1:
            return bool(came)
        return bool(multihost_utils.process_allgather(np.array(bool(came))).any())

    if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.getsignal(number) or signal.SIG_DFL
            signal.signal(number, remember)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
