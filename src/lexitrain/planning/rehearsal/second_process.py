"""Rehearsing in two processes at once: the second one leaves what it finds in the cache, where the first picks it up.

Nothing is passed between the two, so that a second process that fails or is missing costs time and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress


@contextmanager
def in_second_process(work: Callable[[], object]) -> Generator[Callable[[], None]]:
    """Do `work` in a fork of this process; gives a function that waits for its end.

    Nothing happens without a second core or `fork`, or once torch is loaded. An error in `work` is dropped: this
    process meets it itself when it comes to the same work. If the context is left before the work has ended, the work
    is stopped.
    """
    # A fork has only the thread that forked: a lock that another thread holds would never be released in it. Before
    # torch is loaded this process has no threads but those of numpy's linear algebra, which sets itself up anew in a
    # fork. The child ends without running this process's exit handlers and without writing out its buffers, and what it
    # leaves, files in the cache, is put in place at once.
    if not hasattr(os, "fork") or (os.cpu_count() or 1) < 2 or "torch" in sys.modules:
        yield lambda: None
        return
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            work()
        os._exit(0)
    ended = False

    def wait() -> None:
        nonlocal ended
        os.waitpid(child, 0)
        ended = True

    try:
        yield wait
    finally:
        if not ended:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
