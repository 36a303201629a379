"""Work that a second process does ahead, where only what it leaves in the cache counts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress


@contextmanager
def meanwhile(work: Callable[[], object]) -> Generator[Callable[[], None]]:
    """Do `work` in a fork of this process; gives a function that waits for its end.

    Nothing happens without a second core or `fork`, or once torch is loaded, whose threads a fork would not have. An
    error in `work` is dropped: this process meets it itself when it comes to the same work. One that leaves early
    stops the other.
    """
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
