"""What the team asks for, by its token: how the test stands; to stop and resume an arm, to delete a learner's data."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from lexitrain.abtest.assignment import ARMS
from lexitrain.abtest.log.counts import counts
from lexitrain.abtest.service.paths.bodies import ArmChosen, Deleted
from lexitrain.abtest.service.paths.replies import Refused, refusals

if TYPE_CHECKING:
    from lexitrain.abtest.assignment import Arm
    from lexitrain.abtest.service.guarding.gate import Gate
    from lexitrain.abtest.service.live_report import LiveReport
    from lexitrain.abtest.service.tutor import Tutor

_EVENTS = 50


class TeamPaths:
    """Args:
    tutor: open.
    gate: who may ask.
    report: of the test.
    """

    def __init__(self, tutor: Tutor, gate: Gate, report: LiveReport) -> None:
        self._tutor, self._gate, self._report = tutor, gate, report
        self._deciding = asyncio.Lock()  # two who press at once

    def routes(self) -> APIRouter:
        """The paths, below `/v1/team`."""
        found = APIRouter(prefix="/v1/team", tags=["team"])
        errors = refusals(401, 409, 503)
        found.get("", responses=errors)(self.state)
        found.post("/stop", responses=errors)(self.stop)
        found.post("/resume", responses=errors)(self.resume)
        found.delete("/learners/{learner}", response_model=Deleted, responses=errors)(self.delete)
        return found

    async def state(self, request: Request) -> Response:
        """How the test stands."""
        self._gate.team(request)
        return await self._state()

    async def stop(self, request: Request, body: ArmChosen) -> Response:
        """Stop an arm: all learners get the other one."""
        self._gate.team(request)
        async with self._deciding:
            stopped = self._tutor.guardrails.stopped
            if stopped is not None:
                raise Refused(409, "stopped", f"Arm {stopped} is stopped already.")
            await self._tutor.decisions.stop(body.arm)
        return await self._state()

    async def resume(self, request: Request, body: ArmChosen) -> Response:
        """Give learners of a stopped arm their own arm again."""
        self._gate.team(request)
        async with self._deciding:
            if self._tutor.guardrails.stopped != body.arm:
                raise Refused(409, "running", f"Arm {body.arm} is not stopped.")
            await self._tutor.decisions.resume(body.arm)
        return await self._state()

    async def delete(
        self, request: Request, learner: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{22}$")]
    ) -> Response:
        """Delete all that is kept of a learner, who asked for it with the id that his page shows."""
        self._gate.team(request)
        return JSONResponse({"exposures": await self._tutor.log.delete(learner)})

    async def _state(self) -> Response:
        tutor = self._tutor
        facts = tutor.log.facts
        report = self._report.newest()
        counted, events = await asyncio.gather(
            tutor.log.read(lambda database: counts(database, facts.experiment)), tutor.log.events()
        )
        return JSONResponse(
            {
                "experiment": facts.experiment,
                "begun": facts.begun,
                "now": time.time(),
                "ratio": facts.ratio,
                "models": {"a": facts.a, "b": facts.b},
                "stopped": tutor.guardrails.stopped,
                "counts": counted,
                "guardrails": {arm: _guardrails(tutor, arm) for arm in ARMS},
                "events": [
                    {"at": each.at, "kind": each.kind, "arm": each.arm, "details": each.details}
                    for each in events[-_EVENTS:]
                ],
                "failures": [
                    {"at": at, "arm": arm, "what": what} for at, arm, what in tutor.failures
                ],
                "report": report.figures,
                "reported": report.at,
                "report_trouble": report.trouble,
            }
        )


def _guardrails(tutor: Tutor, arm: Arm) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "value": None if math.isnan(each.value) else each.value,
            "limit": each.limit,
            "requests": each.requests,
            "passed": each.passed,
        }
        for each in tutor.guardrails.states(arm)
    ]
