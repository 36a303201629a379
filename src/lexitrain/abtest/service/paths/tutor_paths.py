"""What learners ask for and say: answers, ratings, outcomes."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lexitrain.abtest.engines.engine import EngineFailure
from lexitrain.abtest.log.entries import Rated
from lexitrain.abtest.service.paths.bodies import Answered, Asked, Counted, Outcome, Rating
from lexitrain.abtest.service.paths.replies import (
    NO_ANSWER,
    EventStream,
    Refused,
    refusals,
    unless_gone,
)
from lexitrain.abtest.service.tutor import NoConsent
from lexitrain.records import BadRow

if TYPE_CHECKING:
    from lexitrain.abtest.service.guarding.gate import Gate
    from lexitrain.abtest.service.tutor import Tutor
    from lexitrain.records import Record

_STREAMED = {
    "content": {
        "text/event-stream": {
            "schema": {
                "type": "object",
                "properties": {
                    "event": {"enum": ["piece", "answer", "failed"]},
                    "data": {"type": "string"},
                },
                "required": ["event", "data"],
            }
        }
    },
    "description": "The answer.",
}


class TutorPaths:
    """Args:
    tutor: open.
    gate: who may ask.
    """

    def __init__(self, tutor: Tutor, gate: Gate) -> None:
        self._tutor, self._gate = tutor, gate

    def routes(self) -> APIRouter:
        """The paths, below `/v1`."""
        found = APIRouter(prefix="/v1", tags=["tutor"])
        found.get("/tasks", responses=refusals())(self.tasks)
        errors: dict[int | str, dict[str, Any]] = {**refusals(401, 404, 502, 503), 200: _STREAMED}
        found.post("/tutor/{task}", response_model=Answered, responses=errors)(self.ask)
        errors = refusals(401, 404, 409, 503)
        found.post("/ratings", response_model=Counted, responses=errors)(self.rate)
        found.post("/outcomes", response_model=Counted, responses=errors)(self.outcome)
        return found

    async def tasks(self, request: Request) -> list[str]:
        """Names of the tasks that can be asked for."""
        self._gate.address(request)
        return self._tutor.tasks

    async def ask(self, request: Request, task: str, body: Asked) -> Response:
        """The model's answer to a learner's text; with `stream` piece by piece."""
        start = perf_counter()
        tutor = self._tutor
        learner = self._gate.learner(request, asks=True)
        record = self._record(task, body.text)
        try:
            exposure, attempt = await tutor.begin(
                learner, record, streamed=body.stream, start=start
            )
        except NoConsent:
            said = "Agree to the present text of the consent first."
            raise Refused(403, "consent", said) from None
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

    async def rate(self, request: Request, body: Rating) -> Response:
        """What a learner says of an answer; the reply comes when it is on the disk."""
        learner = self._gate.learner(request, asks=False)
        self._require_length(body.corrected or "")
        return _counted(
            await self._tutor.log.rate(
                self._exposure(body.exposure, learner),
                learner,
                helpful=body.helpful,
                stars=body.stars,
                corrected=body.corrected,
                revision=body.revision,
            )
        )

    async def outcome(self, request: Request, body: Outcome) -> Response:
        """Whether the learner's sentence is right in the end."""
        learner = self._gate.learner(request, asks=False)
        exposure = self._exposure(body.exposure, learner)
        return _counted(
            await self._tutor.log.note_outcome(
                exposure, learner, fixed=body.fixed, revision=body.revision
            )
        )

    def _record(self, task: str, text: str) -> Record:
        tutor = self._tutor
        if task not in tutor.tasks:
            said = f"There is no such task; there are {', '.join(tutor.tasks)}."
            raise Refused(404, "task", said)
        self._require_length(text)
        try:
            return tutor.record(task, text)
        except BadRow as error:
            raise Refused(422, "invalid", f"text: {ascii(str(error))[1:-1]}") from None

    def _require_length(self, text: str) -> None:
        most = self._tutor.settings.limits.text
        if len(text) > most:
            raise Refused(422, "too_long", f"A text has {most:,} characters at most.")

    def _exposure(self, shown: str, learner: str) -> str:
        exposure = self._tutor.signatures.read_exposure(shown, learner)
        if exposure is None:
            said = "This was not given to this learner in this test."
            raise Refused(403, "exposure", said)
        return exposure


def _counted(rated: Rated) -> Response:
    if rated == "unknown":
        raise Refused(404, "exposure", "There is no such answer any more.")
    if rated == "stale":
        raise Refused(409, "revision", "This or a newer revision is counted already.")
    return JSONResponse({"counted": True})
