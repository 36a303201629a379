"""All parts of a running test, opened and closed together."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from lexitrain.abtest.log.log import Log
from lexitrain.abtest.service.application import application
from lexitrain.abtest.service.consent import version_of
from lexitrain.abtest.service.live_report import LiveReport
from lexitrain.abtest.service.tutor import Tutor
from lexitrain.storage import json_text

if TYPE_CHECKING:
    from lexitrain.abtest.engines.open_engine import Arms
    from lexitrain.abtest.log.database import Address
    from lexitrain.abtest.service.guarding.shield import Application
    from lexitrain.abtest.service.settings import ServiceSettings


class Service:
    """A test, served.

    Args:
        address: of its log.
        data: the same, as it was given.
        experiment, ratio, plan: of the test; see `ExperimentFacts`.
        arms: not opened yet.
        settings: of the service.
        tell: called with sentences on what goes on.
    """

    def __init__(
        self,
        address: Address,
        data: str,
        experiment: str,
        ratio: float,
        plan: str,
        arms: Arms,
        settings: ServiceSettings,
        tell: Callable[[str], None],
    ) -> None:
        self._address, self._data = address, data
        self._experiment, self._ratio, self._plan = experiment, ratio, plan
        self._arms, self._settings, self._tell = arms, settings, tell
        self._tutor: Tutor | None = None
        self._opened = AsyncExitStack()

    async def open(self) -> Application:
        """The application, when log and models are ready.

        Raises:
            LexiTrainError: the log cannot be used, or a model cannot be loaded.
        """
        async with AsyncExitStack() as opened:
            found = await self._open(opened)
            self._opened = opened.pop_all()
        # What was loaded stays: looking through it again and again for garbage would hold up requests.
        gc.collect()
        gc.freeze()
        return found

    async def _open(self, opened: AsyncExitStack) -> Application:
        arms, settings = self._arms, self._settings
        # The log first: it refuses at once, and models take a while.
        log = Log(
            self._address,
            self._experiment,
            *(arms.a.name, arms.b.name, self._ratio, self._plan),
            tell=self._tell,
        )
        opened.push_async_callback(log.close)
        version = version_of(settings.consent)
        await log.keep_consent(version, json_text(settings.consent))
        for engine in (arms.a, arms.b):
            opened.push_async_callback(engine.close)
            await engine.open()
        tutor = Tutor(log, arms, settings, version, self._tell)
        opened.push_async_callback(tutor.close)
        await tutor.open()
        self._tutor = tutor
        report = LiveReport(self._data, self._experiment)
        opened.push_async_callback(report.close)
        return application(tutor, report)

    async def close(self) -> None:
        """End what was opened, each part whatever becomes of the others; returns when the log is on the disk."""
        await self._opened.aclose()
