"""Background work of the page: a thread of low priority, and turns of computing that let requests come first."""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

NICE = 5  # added to the niceness of computations on Linux, so that painting in the browser stays fluent


class Background:
    """Call a function in a thread of its own whenever there may be work.

    Args:
        work: does what can be done. Its argument tells whether to return early, because there is other work.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], object]):
        self._work = work
        self._awake = threading.Event()
        self._ends = self._working = False
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> bool:
        """True if the thread was started."""
        return self._thread is not None

    @property
    def idle(self) -> bool:
        """True if there is nothing to do."""
        return not self._working and not self._awake.is_set()

    def start(self) -> None:
        """Start the thread, and call the function for the first time."""
        self._awake.set()
        self._thread = threading.Thread(target=self._run, name="universeg-background", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Call the function soon, if the thread was started. A running call should return early."""
        self._awake.set()

    @property
    def ends(self) -> bool:
        """True if the thread is about to end. A running call should then return as soon as it can."""
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


class Turns:
    """Let one thread compute at a time.

    Background work gives way between its steps. So a request waits for one step at most.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._requests, self._taken = 0, False

    @contextmanager
    def request(self) -> Iterator[None]:
        """Compute for a person who waits."""
        with self._condition:
            self._requests += 1
            try:
                self._condition.wait_for(lambda: not self._taken)
            finally:
                self._requests -= 1
            self._taken = True
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def background(self) -> Iterator[None]:
        """Compute when no request waits."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def give_way(self) -> None:
        """Let all waiting requests compute; for the background work, between its steps."""
        if self._requests:
            self._end()
            self._begin()

    def _begin(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: not self._taken and not self._requests)
            self._taken = True

    def _end(self) -> None:
        with self._condition:
            self._taken = False
            self._condition.notify_all()
