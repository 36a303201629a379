"""The statistics of a running test, for the team's page: in a process of its own, so that learners need not wait.

Asked for as often as a page looks, computed at most once in a while, and only while somebody looks.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

_EVERY_SECONDS = 20.0
_MOST_SECONDS = 300.0
_LARGEST = 4_000_000  # bytes


class LiveReport:
    """Args:
    data: file or URL of the log.
    experiment: name of the test.
    """

    def __init__(self, data: str, experiment: str) -> None:
        self._asked = json.dumps({"data": data, "experiment": experiment}).encode() + b"\n"
        self._newest: dict[str, Any] | None = None
        self._begun = -_EVERY_SECONDS
        self._work: asyncio.Task[None] | None = None

    def newest(self) -> dict[str, Any] | None:
        """The newest one; None before the first, and where the test has too little for one. A new one is begun where
        this one is old."""
        idle = self._work is None or self._work.done()
        if idle and time.monotonic() - self._begun > _EVERY_SECONDS:
            self._begun = time.monotonic()
            self._work = asyncio.get_running_loop().create_task(self._renew())
        return self._newest

    async def _renew(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "lexitrain.abtest.service.report_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LARGEST,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                said, _ = await process.communicate(self._asked)
            found = json.loads(said)
        except (TimeoutError, ValueError):
            return
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._newest = found

    async def close(self) -> None:
        """End what is under way."""
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
