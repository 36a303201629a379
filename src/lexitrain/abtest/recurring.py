"""Work that is done again and again while a service runs, and that no error ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from lexitrain.abtest.told_once import ToldOnce


class Recurring:
    """A task. Whatever its work raises is told, once for each kind, and the work is tried again.

    Args:
        name: what is done, as the subject of a sentence.
        work: done at once, and then `seconds` after it was done before.
        seconds: between.
        tell: called with a sentence.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        seconds: float,
        tell: Callable[[str], None],
    ) -> None:
        self._name, self._work, self._seconds = name, work, seconds
        self._tell = ToldOnce(tell)
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the loop that runs."""
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    def soon(self) -> None:
        """Do the work now, and not only when its time comes."""
        self._wanted.set()

    async def _go_on(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._work()
            except Exception as error:
                kind = type(error).__name__
                said = str(error).partition("\n")[0] or kind
                self._tell(kind, f"{self._name} fails and is tried again: {said}")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._wanted.wait()

    async def close(self) -> None:
        """End it; returns when what it does just now has been given up."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
