"""What learners agree to, and what is kept of them: to read, to agree to, to see, to delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lexitrain.abtest.log.learner_data import learner_data
from lexitrain.abtest.service.guarding.gate import COOKIE
from lexitrain.abtest.service.paths.bodies import Agreement, Consent, Deleted, Welcome
from lexitrain.abtest.service.paths.replies import Refused, refusals

if TYPE_CHECKING:
    from lexitrain.abtest.service.guarding.gate import Gate
    from lexitrain.abtest.service.tutor import Tutor

_COOKIE_SECONDS = 180 * 86_400


class ConsentPaths:
    """Args:
    tutor: open.
    gate: who may ask.
    """

    def __init__(self, tutor: Tutor, gate: Gate) -> None:
        self._tutor, self._gate = tutor, gate

    def routes(self) -> APIRouter:
        """The paths, below `/v1`."""
        found = APIRouter(prefix="/v1", tags=["consent"])
        found.get("/consent", response_model=Consent, responses=refusals(503))(self.consent)
        found.post("/consent", response_model=Welcome, responses=refusals(409, 503))(self.agree)
        found.get("/learner", responses=refusals(401, 503))(self.data)
        found.delete("/learner", response_model=Deleted, responses=refusals(401, 503))(self.delete)
        return found

    async def consent(self, request: Request) -> Response:
        """The text that learners agree to, and whether this one has."""
        self._gate.address(request)
        tutor = self._tutor
        learner, version = self._gate.known(request), tutor.consent_version
        agreed = learner is not None and await tutor.log.has_agreed(learner, version)
        text = tutor.settings.consent
        return JSONResponse({"version": version, "text": text, "agreed": agreed})

    async def agree(self, request: Request, body: Agreement) -> Response:
        """A learner agrees. Who is not known yet gets an id; who is known keeps his."""
        self._gate.address(request)
        tutor = self._tutor
        if body.version != tutor.consent_version:
            raise Refused(409, "version", "The text has changed. Read it anew.")
        learner = self._gate.known(request) or tutor.signatures.new_id()
        await tutor.log.agree(learner, body.version)
        shown = tutor.signatures.learner(learner)
        reply = JSONResponse({"learner": shown, "version": body.version})
        reply.set_cookie(
            COOKIE,
            shown,
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return reply

    async def data(self, request: Request) -> dict[str, Any]:
        """All that is kept of the learner."""
        learner = self._gate.learner(request, asks=False)
        return await self._tutor.log.read(lambda database: learner_data(database, learner))

    async def delete(self, request: Request) -> Response:
        """Delete all that is kept of the learner."""
        learner = self._gate.learner(request, asks=False)
        reply = JSONResponse({"exposures": await self._tutor.log.delete(learner)})
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply
