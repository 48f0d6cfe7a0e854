"""The pool of step threads, which grows by a size that Python's own pool keeps to itself."""

import threading
from concurrent.futures import ThreadPoolExecutor

from autopilot_server.engine.threads import StepThreads, current_run


def test_python_s_pool_looks_at_its_size_whenever_something_is_submitted() -> None:
    """What StepThreads relies on: a Python without it needs another way."""
    with ThreadPoolExecutor(1) as pool:
        assert pool._max_workers == 1
        go = threading.Event()
        pool.submit(go.wait)
        pool._max_workers = 2
        pool.submit(go.set).result(timeout=60)


def test_a_thread_that_is_given_up_is_replaced_until_it_comes_back() -> None:
    pool, go, begun = StepThreads(1), threading.Event(), threading.Event()

    def hangs() -> None:
        begun.set()
        go.wait()

    token = current_run.set("run")
    held = pool.submit(hangs)
    current_run.reset(token)
    begun.wait()
    waiting = pool.submit(int)
    assert pool.abandon("run") == 1
    assert waiting.result(timeout=60) == 0
    assert pool.abandoned == 1
    go.set()
    held.result()
    assert (pool.abandoned, pool._max_workers) == (0, 1)
    pool.shutdown()
