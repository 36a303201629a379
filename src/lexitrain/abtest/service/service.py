"""All parts of a running test, opened and closed together."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from lexitrain.abtest.log.log import Log
from lexitrain.abtest.service.application import application
from lexitrain.abtest.service.consent import version_of
from lexitrain.abtest.service.live_report import LiveReport
from lexitrain.abtest.service.tutor import Tutor

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
        self._log: Log | None = None
        self._tutor: Tutor | None = None
        self._report: LiveReport | None = None

    async def open(self) -> Application:
        """The application, when log and models are ready.

        Raises:
            LexiTrainError: the log cannot be used, or a model cannot be loaded.
        """
        arms, settings = self._arms, self._settings
        # The log first: it refuses at once, and models take a while.
        self._log = Log(
            self._address, self._experiment, arms.a.name, arms.b.name, self._ratio, self._plan
        )
        version = version_of(settings.consent)
        await self._log.keep_consent(version, json.dumps(settings.consent, ensure_ascii=False))
        for engine in (arms.a, arms.b):
            await engine.open()
        tutor = Tutor(self._log, arms, settings, version, self._tell)
        await tutor.open()
        self._tutor = tutor
        self._report = LiveReport(self._data, self._experiment)
        found = application(tutor, self._report)
        # What was loaded stays: looking through it again and again for garbage would hold up requests.
        gc.collect()
        gc.freeze()
        return found

    async def close(self) -> None:
        """End what was opened; returns when the log is on the disk."""
        if self._report is not None:
            await self._report.close()
        if self._tutor is not None:
            await self._tutor.close()
        for engine in (self._arms.a, self._arms.b):
            await engine.close()
        if self._log is not None:
            await self._log.close()
