"""A thread that works while nobody waits, at a low priority."""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress

NICE = 5  # added to the niceness of computations on Linux, so that painting in the browser stays fluent


class Background:
    """Call a function in a thread of its own whenever there may be work.

    Args:
        work: does what can be done. Its argument tells whether it should return early, since there is other work.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], object]):
        self._work = work
        self._awake = threading.Event()
        self._ends = self._working = False
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> bool:
        """Whether the thread was started."""
        return self._thread is not None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._working and not self._awake.is_set()

    def start(self) -> None:
        """Start the thread, and call the function for the first time."""
        self._awake.set()
        self._thread = threading.Thread(target=self._run, name="universeg-background", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Call the function soon, if the thread was started; a call that is under way should return early."""
        self._awake.set()

    @property
    def ends(self) -> bool:
        """Whether the thread is about to end; a call that is under way should return as soon as it can."""
        return self._ends

    def stop(self) -> None:
        """End the thread, and wait until it has returned: Python must not exit while it computes."""
        self._ends = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere it would be the priority of the whole process
            thread = threading.get_native_id()
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)
        while self._awake.wait() and not self._ends:
            self._working = True
            self._awake.clear()
            try:
                self._work(lambda: self._ends or self._awake.is_set())
            except Exception:  # it must not end the thread: the request that needs the result raises it again
                traceback.print_exc()
            self._working = False
