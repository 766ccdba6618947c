"""Background work of the page: the thread between requests, and turns of computing."""

import os
import sys
import threading

from universeg_jax.app.background import NICE, Background, Turns


def test_it_works_when_it_is_woken_and_survives_an_error(capfd):
    calls, called = [], threading.Semaphore(0)

    def work(hurry):
        calls.append((hurry(), threading.current_thread().name))
        called.release()
        if len(calls) == 1:
            raise ValueError("broken")

    background = Background(work)
    background.wake()  # before the start it does nothing
    assert not background.runs
    background.start()
    assert called.acquire(timeout=10)
    background.wake()
    assert called.acquire(timeout=10)
    background.stop()
    assert not background._thread.is_alive()
    assert calls == [(False, "universeg-background")] * 2
    assert "ValueError: broken" in capfd.readouterr().err


def test_it_has_a_lower_priority_than_the_page():
    found = threading.Event()
    priorities = []

    def work(hurry):
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        found.set()

    background = Background(work)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    background.start()
    assert found.wait(timeout=10)
    background.stop()
    assert priorities == [before + NICE if sys.platform == "linux" else before]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_a_waiting_request_comes_before_the_next_step():
    turns, order, waits = Turns(), [], threading.Event()

    def request():
        waits.set()
        with turns.request():
            order.append("request")

    with turns.background():
        order.append("step 1")
        turns.give_way()  # nobody waits
        thread = threading.Thread(target=request)
        thread.start()
        waits.wait(timeout=10)
        while not turns._requests:
            pass
        order.append("step 2")
        turns.give_way()
        order.append("step 3")
    thread.join(timeout=10)
    assert order == ["step 1", "step 2", "request", "step 3"]
