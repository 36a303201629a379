"""Waiting for several things at once, in threads that do not keep a process alive.

The standard library's pool is waited for when a process ends. A server that hangs would then hold a command that was
stopped by Ctrl-C for as long as its requests may take.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

Asked = TypeVar("Asked")
Got = TypeVar("Got")


def side_by_side(call: Callable[[Asked], Got], each: Sequence[Asked], *, at_once: int) -> list[Got]:
    """`call` of each, in order; the first error is raised at once, and what has not begun then never does.

    Args:
        at_once: most threads.
    """
    left = iter(range(len(each)))
    next_one = threading.Lock()
    stopped = threading.Event()
    done: queue.SimpleQueue[tuple[int, Got | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        while not stopped.is_set():
            with next_one:
                place = next(left, None)
            if place is None:
                return
            try:
                done.put((place, call(each[place]), None))
            except BaseException as error:  # raised again where it is waited for
                done.put((place, None, error))

    for _ in range(min(at_once, len(each))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[int, Got] = {}
    try:
        while len(found) < len(each):
            place, got, error = done.get()
            if error is not None:
                raise error
            found[place] = cast("Got", got)
    finally:
        stopped.set()
    return [found[place] for place in range(len(each))]
