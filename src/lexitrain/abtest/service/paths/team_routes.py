"""What the team asks for, by its token: how the test stands; to stop an arm, to resume it, to delete a learner's data."""

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
from lexitrain.abtest.service.paths.learner_routes import refusals
from lexitrain.abtest.service.paths.replies import Refused

if TYPE_CHECKING:
    from lexitrain.abtest.service.guarding.gate import Gate
    from lexitrain.abtest.service.live_report import LiveReport
    from lexitrain.abtest.service.tutor import Tutor

_EVENTS = 50


def team_routes(tutor: Tutor, gate: Gate, report: LiveReport) -> APIRouter:
    """The paths, below `/v1/team`."""
    routes = APIRouter(prefix="/v1/team", tags=["team"])
    errors = refusals(401, 409, 503)

    @routes.get("", responses=errors)
    async def state(request: Request) -> Response:
        """How the test stands."""
        gate.team(request)
        return JSONResponse(await _state(tutor, report))

    @routes.post("/stop", responses=errors)
    async def stop(request: Request, body: ArmChosen) -> Response:
        """Stop an arm: all learners get the other one."""
        gate.team(request)
        if tutor.guardrails.stopped is not None:
            raise Refused(409, "stopped", f"Arm {tutor.guardrails.stopped} is stopped already.")
        await tutor.stop(body.arm, {"by": "team"})
        return JSONResponse(await _state(tutor, report))

    @routes.post("/resume", responses=errors)
    async def resume(request: Request, body: ArmChosen) -> Response:
        """Give learners of a stopped arm their own arm again."""
        gate.team(request)
        if tutor.guardrails.stopped != body.arm:
            raise Refused(409, "running", f"Arm {body.arm} is not stopped.")
        await tutor.resume(body.arm)
        return JSONResponse(await _state(tutor, report))

    @routes.delete("/learners/{learner}", response_model=Deleted, responses=errors)
    async def delete(
        request: Request, learner: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{22}$")]
    ) -> Response:
        """Delete all that is kept of a learner, who asked for it with the id that his page shows."""
        gate.team(request)
        return JSONResponse({"exposures": await tutor.log.delete(learner)})

    return routes


async def _state(tutor: Tutor, report: LiveReport) -> dict[str, Any]:
    facts = tutor.log.facts
    counted, events = await asyncio.gather(
        tutor.log.read(lambda database: counts(database, facts.experiment)), tutor.log.events()
    )
    return {
        "experiment": facts.experiment,
        "begun": facts.begun,
        "now": time.time(),
        "ratio": facts.ratio,
        "models": {"a": facts.a, "b": facts.b},
        "stopped": tutor.guardrails.stopped,
        "counts": counted,
        "guardrails": {
            arm: [
                {
                    "name": each.name,
                    "value": None if math.isnan(each.value) else each.value,
                    "limit": each.limit,
                    "requests": each.requests,
                    "passed": each.passed,
                }
                for each in tutor.guardrails.states(arm)
            ]
            for arm in ARMS
        },
        "events": [
            {"at": each.at, "kind": each.kind, "arm": each.arm, "details": each.details}
            for each in events[-_EVENTS:]
        ],
        "failures": [{"at": at, "arm": arm, "what": what} for at, arm, what in tutor.failures],
        "report": report.newest(),
    }
