"""Turns of computing: requests of the page come first, work in the background uses the time between them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Let one thread compute at a time.

    A request waits for one step of the background work at most, since that work gives way between its steps.
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
