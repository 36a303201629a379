"""How the service replies: JSON, refusals of one form, and an answer as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from lexitrain.abtest.engines.engine import EngineFailure
from lexitrain.abtest.log.database import Unavailable
from lexitrain.abtest.service.attempts import Attempt, whole
from lexitrain.abtest.service.guarding.shield import Receive, Send
from lexitrain.abtest.service.paths.bodies import Refusal
from lexitrain.abtest.told_once import ToldOnce
from lexitrain.errors import InputError
from lexitrain.storage import json_text

NO_ANSWER = "The tutor cannot answer just now. Please try again."


def refusals(*more: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a path's errors: those that every path has, and `more`."""
    always = {400, 403, 408, 413, 421, 422, 429}
    return {status: {"model": Refusal} for status in sorted(always | {*more})}


class Refused(Exception):
    """A request that is not done.

    Args:
        status: of HTTP.
        code: a word for programs.
        message: a sentence.
        wait: seconds after which it may be tried again.
    """

    def __init__(self, status: int, code: str, message: str, *, wait: int = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.wait = status, code, message, wait

    def response(self) -> Response:
        """As it is sent."""
        headers = {"Retry-After": str(self.wait)} if self.wait else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return refusal(self.status, self.code, self.message, headers)


def refusal(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """An error in the service's form."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def on_refused(_: Request, error: Exception) -> Response:
    """For `Refused`."""
    assert isinstance(error, Refused)
    return error.response()


async def on_unavailable(_: Request, error: Exception) -> Response:
    """For `Unavailable`: what cannot be written down is not done."""
    assert isinstance(error, Unavailable)
    return refusal(
        503, "unavailable", "This cannot be kept just now. Please try again.", {"Retry-After": "2"}
    )


class Broken:
    """For `InputError`: the log is gone, or is another program's now. The team is told, as waiting does not help.

    Args:
        tell: called with a sentence.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = ToldOnce(tell)

    async def __call__(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, InputError)
        self._tell(error.what, f"Requests fail: {error}")
        return refusal(500, "log", "The service has lost its log; its team is told.")


async def on_http(_: Request, error: Exception) -> Response:
    """For what the framework refuses: an unknown path or method, a body that is no JSON."""
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method", 400: "body"}
    headers: Any = error.headers
    return refusal(
        error.status_code, codes.get(error.status_code, "refused"), _said(error), headers
    )


def _said(error: HTTPException) -> str:
    return {404: "There is nothing here.", 405: "It is not asked for like this."}.get(
        error.status_code, str(error.detail)[:200]
    )


async def on_invalid(_: Request, error: Exception) -> Response:
    """For a body that is not as it must be. What was sent is not repeated: it may be of any form."""
    assert isinstance(error, RequestValidationError)
    said: list[str] = []
    for each in error.errors()[:5]:
        place = ".".join(str(part) for part in each["loc"] if part != "body")[:100]
        said.append(f"{ascii(place)[1:-1] or 'body'}: {ascii(str(each['msg']))[1:-1][:200]}")
    return refusal(422, "invalid", "; ".join(said))


async def on_error(_: Request, error: Exception) -> Response:
    """For a fault of ours."""
    return refusal(500, "fault", f"The service has a fault ({type(error).__name__}).")


async def unless_gone(request: Request, attempt: Attempt) -> tuple[str, Any] | None:
    """The attempt's result; None where the client has left before, which gives the attempt up.

    Raises:
        EngineFailure: there is no answer.
    """
    answering = asyncio.ensure_future(attempt.result())
    leaving = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        leaving.cancel()
        if not answering.done():
            answering.cancel()
            attempt.give_up()


async def gone(receive: Receive) -> None:
    """Returns when the client has left; its request is read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """An answer as it comes, as server-sent events: `piece` with a text, then `answer`, or `failed`.

    The attempt is given up where the client leaves before its end.

    Args:
        attempt: under way.
        answered: makes the content of `answer` of the text and what the task reads in it.
    """

    media_type = "text/event-stream"

    def __init__(self, attempt: Attempt, answered: Callable[[str, Any], dict[str, Any]]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})  # nginx passes pieces on as they come
        del self.raw_headers[[name for name, _ in self.raw_headers].index(b"content-length")]
        self._attempt = attempt
        self._answered = answered

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ARG002
        leaving = asyncio.ensure_future(gone(receive))
        writing = asyncio.ensure_future(self._write(send))
        try:
            await asyncio.wait({leaving, writing}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        except OSError:  # the client has left while something was sent
            pass
        finally:
            leaving.cancel()
            writing.cancel()
            self._attempt.give_up()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def tell(event: str, content: dict[str, Any], *, more: bool = True) -> None:
            said = f"event: {event}\ndata: {json_text(content)}\n\n".encode()
            await send({"type": "http.response.body", "body": said, "more_body": more})

        async for piece in self._attempt.pieces():
            await tell("piece", {"text": whole(piece)})
        try:
            text, answer = await self._attempt.result()
        except EngineFailure:
            await tell("failed", {"code": "no_answer", "message": NO_ANSWER}, more=False)
            return
        await tell("answer", self._answered(text, answer), more=False)
