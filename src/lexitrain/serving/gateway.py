"""`serve`: what stands between clients and llama.cpp.

An OpenAI-compatible endpoint: chat completions with streaming, and the list of models. llama.cpp does the answering;
here requests are checked before they reach it, texts are composed (NFC) and cannot hold special tokens, a task's name
becomes its grammar, an adapter's name its number, and a process that has died is started again. Nothing that a client
sends is trusted to be of any form.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from lexitrain.serving.chat_request import BadRequest, chat_request

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from lexitrain.serving.llama_server import LlamaServer
    from lexitrain.serving.offer import Offer

_LARGEST_BODY = 1_000_000  # bytes
_TIMEOUT_SECONDS = 600.0
_LOOK_SECONDS = 0.5


def gateway(server: LlamaServer, offer: Offer, tell: Callable[[str], None]) -> Starlette:
    """The application.

    Args:
        server: started; it is started again where it dies.
        offer: what clients may ask for.
        tell: called with a sentence when that happens.
    """
    import httpx
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    endpoint = _Endpoint(server, offer, tell)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncGenerator[None]:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            endpoint.client = client
            watch = asyncio.create_task(endpoint.watch())
            yield
            watch.cancel()

    async def on_error(_: Request, error: Exception) -> Response:
        return JSONResponse(_error(f"{type(error).__name__}", "server_error"), 500)

    async def not_found(request: Request, _: Exception) -> Response:
        return JSONResponse(_error(f"There is nothing at {request.url.path}.", "not_found"), 404)

    async def not_so(request: Request, _: Exception) -> Response:
        said = f"{request.method} is not how {request.url.path} is asked."
        return JSONResponse(_error(said, "invalid_request_error"), 405)

    return Starlette(
        routes=[
            Route("/health", endpoint.health),
            Route("/v1/models", endpoint.models),
            Route("/v1/chat/completions", endpoint.chat, methods=["POST"]),
        ],
        lifespan=life,
        exception_handlers={404: not_found, 405: not_so, Exception: on_error},
    )


class _Endpoint:
    """Attributes: client: for llama.cpp."""

    client: Any = None

    def __init__(self, server: LlamaServer, offer: Offer, tell: Callable[[str], None]) -> None:
        self._server = server
        self._offer = offer
        self._tell = tell

    async def watch(self) -> None:
        """Start llama.cpp again whenever it has ended."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._server.is_running:
                continue
            self._tell("llama.cpp has ended and is started again.")
            try:
                await asyncio.to_thread(self._restart)
            except Exception as error:  # tried again in a moment; clients are told meanwhile
                self._tell(str(error))

    def _restart(self) -> None:
        self._server.stop()
        self._server.start()

    async def health(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        if self._server.is_running:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "loading"}, 503)

    async def models(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        if (refused := self._refused(request)) is not None:
            return refused
        names = [self._offer.model, *self._offer.adapters]
        found = [{"id": name, "object": "model", "owned_by": "lexitrain"} for name in names]
        return JSONResponse({"object": "list", "data": found, "tasks": list(self._offer.grammars)})

    async def chat(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        if (refused := self._refused(request)) is not None:
            return refused
        try:
            body = chat_request(await _body(request), self._offer)
        except BadRequest as error:
            return JSONResponse(_error(str(error), "invalid_request_error"), 400)
        if not self._server.is_running:
            return _loading()
        return await self._forwarded(body)

    async def _forwarded(self, body: dict[str, Any]) -> Response:
        import httpx
        from starlette.responses import JSONResponse, StreamingResponse

        sent = self.client.build_request(
            "POST",
            f"{self._server.address}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {self._server.key}"},
        )
        try:
            reply = await self.client.send(sent, stream=True)
        except httpx.TransportError:
            return _loading()
        if body["stream"] and reply.status_code == 200:
            return StreamingResponse(_passed_on(reply), media_type="text/event-stream")
        try:
            content: object = json.loads(await reply.aread())
        except (httpx.TransportError, ValueError):
            return _loading()
        finally:
            await reply.aclose()
        if reply.status_code != 200:
            return JSONResponse(_error(_said(content), "invalid_request_error"), reply.status_code)
        answer = cast("dict[str, Any]", content)
        answer["model"] = self._offer.model
        return JSONResponse(answer)

    def _refused(self, request: Request) -> Response | None:
        """401, where a key is needed and another one, or none, was sent."""
        from starlette.responses import JSONResponse

        if not self._offer.key:
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self._offer.key.encode())
        if scheme.lower() == "bearer" and same:
            return None
        return JSONResponse(_error("This key is not the one.", "authentication_error"), 401)


async def _passed_on(reply: Any) -> AsyncGenerator[bytes]:
    """The events of an answer as they come; one of an error where llama.cpp ends in the middle."""
    import httpx

    try:
        async for part in reply.aiter_raw():
            yield part
    except httpx.TransportError:
        yield f"data: {json.dumps(_error('llama.cpp has ended.', 'server_error'))}\n\n".encode()
    finally:
        await reply.aclose()


async def _body(request: Request) -> bytes:
    """Raises BadRequest where it is too long, or the client has gone."""
    from starlette.requests import ClientDisconnect

    found = bytearray()
    try:
        async for part in request.stream():
            found += part
            if len(found) > _LARGEST_BODY:
                raise BadRequest(f"A request has {_LARGEST_BODY:,} bytes at most.")
    except ClientDisconnect:
        raise BadRequest("The request ended in the middle.") from None
    return bytes(found)


def _loading() -> Response:
    from starlette.responses import JSONResponse

    said = _error("The model is being loaded; ask again in a moment.", "unavailable")
    return JSONResponse(said, 503, headers={"Retry-After": "1"})


def _said(content: object) -> str:
    """What llama.cpp says of a request that it refuses."""
    error: object = content.get("error") if isinstance(content, dict) else None  # pyright: ignore
    found: object = error.get("message") if isinstance(error, dict) else None  # pyright: ignore
    return str(found or "llama.cpp refuses this request.")


def _error(message: str, kind: str) -> dict[str, Any]:
    """An error in the form of OpenAI's."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
