"""The statistics of a running test, for the team's page: in a process of its own, so that learners need not wait.

Asked for as often as a page looks, computed at most once in a while, and only while somebody looks.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from lexitrain.storage import json_text

_EVERY_SECONDS = 20.0
_MOST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Newest:
    """What is known.

    Attributes:
        figures: of the report; None before the first one, and where the test has too little for one.
        at: when they were computed, seconds since 1970; None before the first one.
        trouble: why there are no newer ones; None where there is nothing wrong.
    """

    figures: dict[str, Any] | None = None
    at: float | None = None
    trouble: str | None = None


class LiveReportError(Exception):
    """There is no report; the message is for the team."""


class LiveReport:
    """Args:
    data: file or URL of the log.
    experiment: name of the test.
    """

    def __init__(self, data: str, experiment: str) -> None:
        self._asked = json_text({"data": data, "experiment": experiment}).encode() + b"\n"
        self._newest = Newest()
        self._begun = -_EVERY_SECONDS
        self._work: asyncio.Task[None] | None = None

    def newest(self) -> Newest:
        """The newest one. Another one is begun where this one is old."""
        idle = self._work is None or self._work.done()
        if idle and time.monotonic() - self._begun > _EVERY_SECONDS:
            self._begun = time.monotonic()
            self._work = asyncio.get_running_loop().create_task(self._renew())
        return self._newest

    async def _renew(self) -> None:
        begun = time.time()
        try:
            found = await self._computed()
        except Exception as error:  # whatever it is, the team reads it beside the figures of before
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            self._newest = replace(self._newest, trouble=said[:300])
        else:
            self._newest = Newest(found, begun)

    async def _computed(self) -> dict[str, Any] | None:
        """What the process says.

        Raises:
            LiveReportError: it says what is wrong, nothing in time, or nothing that can be read.
            OSError: it cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "lexitrain.abtest.service.report_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                said, errors = await process.communicate(self._asked)
        except TimeoutError:
            raise LiveReportError(f"It took longer than {_MOST_SECONDS:g} s.") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            found = json.loads(said)
        except ValueError:
            last = errors.decode(errors="replace").strip().rpartition("\n")[2]
            raise LiveReportError(last or f"It ended with {process.returncode}.") from None
        if "refused" in found:
            raise LiveReportError(found["refused"])
        return found["report"]

    async def close(self) -> None:
        """End what is under way."""
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
