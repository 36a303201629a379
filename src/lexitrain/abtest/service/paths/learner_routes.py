"""What learners ask for: consent, answers, ratings, their data."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from lexitrain.abtest.engines.engine import EngineFailure
from lexitrain.abtest.log.entries import Rated
from lexitrain.abtest.log.learner_data import learner_data
from lexitrain.abtest.service.paths.bodies import (
    Agreement,
    Answered,
    Asked,
    Consent,
    Counted,
    Deleted,
    Outcome,
    Rating,
    Refusal,
    Welcome,
)
from lexitrain.abtest.service.guarding.gate import COOKIE, Gate
from lexitrain.abtest.service.paths.replies import NO_ANSWER, EventStream, Refused, unless_gone
from lexitrain.abtest.service.tutor import NoConsent, Tutor
from lexitrain.records import BadRow

if TYPE_CHECKING:
    from lexitrain.abtest.service.settings import ServiceSettings

_COOKIE_SECONDS = 180 * 86_400


def refusals(*more: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a path's errors: those that every path has, and `more`."""
    return {status: {"model": Refusal} for status in sorted({400, 403, 408, 413, 421, 422, 429, *more})}


def learner_routes(tutor: Tutor, gate: Gate) -> APIRouter:
    """The paths, below `/v1`."""
    routes = APIRouter(prefix="/v1", tags=["learners"])
    settings = tutor.settings

    @routes.get("/consent", response_model=Consent, responses=refusals(503))
    async def consent(request: Request) -> Response:
        """The text that learners agree to, and whether this one has."""
        gate.address(request)
        learner = gate.known(request)
        version = tutor.consent_version
        agreed = learner is not None and await tutor.log.has_agreed(learner, version)
        return JSONResponse({"version": version, "text": settings.consent, "agreed": agreed})

    @routes.post("/consent", response_model=Welcome, responses=refusals(409, 503))
    async def agree(request: Request, body: Agreement) -> Response:
        """A learner agrees. Who is not known yet gets an id; who is known keeps his."""
        gate.address(request)
        if body.version != tutor.consent_version:
            raise Refused(409, "version", "The text has changed. Read it anew.")
        learner = gate.known(request) or tutor.signatures.new_id()
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

    @routes.get("/learner", responses=refusals(401, 503))
    async def data(request: Request) -> dict[str, Any]:
        """All that is kept of the learner."""
        learner = gate.learner(request, asks=False)
        return await tutor.log.read(lambda database: learner_data(database, learner))

    @routes.delete("/learner", response_model=Deleted, responses=refusals(401, 503))
    async def delete(request: Request) -> Response:
        """Delete all that is kept of the learner."""
        learner = gate.learner(request, asks=False)
        reply = JSONResponse({"exposures": await tutor.log.delete(learner)})
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply

    @routes.get("/tasks", responses=refusals())
    async def tasks() -> list[str]:
        """Names of the tasks that can be asked for."""
        return tutor.tasks

    @routes.post(
        "/tutor/{task}",
        response_model=Answered,
        responses={**refusals(401, 404, 502, 503), 200: _STREAMED},
    )
    async def ask(
        request: Request,
        task: Annotated[str, Path(json_schema_extra={"enum": list(tutor.tasks)})],
        body: Asked,
    ) -> Response:
        """The model's answer to a learner's text; with `stream` piece by piece."""
        start = perf_counter()
        learner = gate.learner(request, asks=True)
        record = _record(tutor, settings, task, body.text)
        try:
            exposure, attempt = await tutor.begin(
                learner, record, streamed=body.stream, start=start
            )
        except NoConsent:
            raise Refused(403, "consent", "Agree to the present text of the consent first.") from None
        shown = tutor.signatures.exposure(exposure, learner)

        def answered(text: str, answer: dict[str, Any] | None) -> dict[str, Any]:
            return {"exposure": shown, "task": task, "text": text, "answer": answer}

        if body.stream:
            return EventStream(attempt, answered)
        try:
            result = await unless_gone(request, attempt)
        except EngineFailure:
            raise Refused(502, "no_answer", NO_ANSWER, wait=5) from None
        return Response() if result is None else JSONResponse(answered(*result))

    @routes.post("/ratings", response_model=Counted, responses=refusals(401, 403, 404, 409, 503))
    async def rate(request: Request, body: Rating) -> Response:
        """What a learner says of an answer; the reply comes when it is on the disk."""
        learner = gate.learner(request, asks=False)
        _require_length(settings, body.corrected or "")
        exposure = _exposure(tutor, body.exposure, learner)
        return _counted(
            await tutor.log.rate(
                exposure,
                learner,
                helpful=body.helpful,
                stars=body.stars,
                corrected=body.corrected,
                revision=body.revision,
            )
        )

    @routes.post("/outcomes", response_model=Counted, responses=refusals(401, 403, 404, 409, 503))
    async def outcome(request: Request, body: Outcome) -> Response:
        """Whether the learner's sentence is right in the end."""
        learner = gate.learner(request, asks=False)
        exposure = _exposure(tutor, body.exposure, learner)
        return _counted(
            await tutor.log.note_outcome(
                exposure, learner, fixed=body.fixed, revision=body.revision
            )
        )

    return routes


_STREAMED = {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The answer."}


def _record(tutor: Tutor, settings: ServiceSettings, task: str, text: str) -> Any:
    if task not in tutor.tasks:
        raise Refused(404, "task", f"There is no such task; there are {', '.join(tutor.tasks)}.")
    _require_length(settings, text)
    try:
        return tutor.record(task, text)
    except BadRow as error:
        raise Refused(422, "invalid", f"text: {ascii(str(error))[1:-1]}") from None


def _require_length(settings: ServiceSettings, text: str) -> None:
    most = settings.limits.text
    if len(text) > most:
        raise Refused(413, "too_long", f"A text has {most:,} characters at most.")


def _exposure(tutor: Tutor, shown: str, learner: str) -> str:
    exposure = tutor.signatures.read_exposure(shown, learner)
    if exposure is None:
        raise Refused(403, "exposure", "This was not given to this learner in this test.")
    return exposure


def _counted(rated: Rated) -> Response:
    if rated == "unknown":
        raise Refused(404, "exposure", "There is no such answer any more.")
    if rated == "stale":
        raise Refused(409, "revision", "This or a newer revision is counted already.")
    return JSONResponse({"counted": True})
