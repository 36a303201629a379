"""A sign of life of a running trial, every few seconds, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def beating(storage: Any, trial: int, seconds: float) -> Generator[None]:
    """Record a heartbeat of the trial with this id while the block lasts.

    A database that does not answer for a while is asked again: where it stays away, other workers take the trial for
    dead and the lock of its run folder keeps them from it.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(seconds):
            with suppress(StorageInternalError, SQLAlchemyError):
                storage.record_heartbeat(trial)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
