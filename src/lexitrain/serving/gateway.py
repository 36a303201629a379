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
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from lexitrain.serving.chat_request import BadRequest, chat_request
from lexitrain.serving.listening import host_name, is_loopback

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from lexitrain.serving.llama_server import LlamaServer
    from lexitrain.serving.offer import Offer

_LARGEST_BODY = 1_000_000  # bytes
_BODY_SECONDS = 60.0
_TIMEOUT_SECONDS = 600.0
_LOOK_SECONDS = 0.5
"""What a request that is meant for this machine has as `Host`."""


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
        # A connection to each request: llama.cpp may close one that waits just when it is used again.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            timeout=_TIMEOUT_SECONDS, trust_env=False, limits=limits
        ) as client:
            endpoint.client = client
            watch = asyncio.create_task(endpoint.watch())
            yield
            watch.cancel()

    async def on_error(_: Request, error: Exception) -> Response:
        return JSONResponse(_error(f"{type(error).__name__}", "server_error"), 500)

    # The path is the scope's: `request.url` is built from the header Host, which may be anything.
    async def not_found(request: Request, _: Exception) -> Response:
        return JSONResponse(_error(f"There is nothing at {_path(request)}.", "not_found"), 404)

    async def not_so(request: Request, error: Exception) -> Response:
        said = f"{request.method} is not how {_path(request)} is asked."
        allowed: Any = getattr(error, "headers", None)
        return JSONResponse(_error(said, "invalid_request_error"), 405, headers=allowed)

    found = Starlette(
        routes=[
            Route("/health", endpoint.health),
            Route("/v1/models", endpoint.models),
            Route("/v1/chat/completions", endpoint.chat, methods=["POST"]),
        ],
        lifespan=life,
        exception_handlers={404: not_found, 405: not_so, Exception: on_error},
    )
    found.router.redirect_slashes = False
    return found


class _Endpoint:
    """Attributes: client: for llama.cpp."""

    client: Any = None

    def __init__(self, server: LlamaServer, offer: Offer, tell: Callable[[str], None]) -> None:
        self._server = server
        self._offer = offer
        self._tell = tell
        # Who waits does so here, where a client that goes away is noticed at once.
        self._places = asyncio.Semaphore(server.slots)

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

        if self._server.is_ready:
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
        if not self._server.is_ready:
            return _loading()
        return await _unless_gone(request, self._answered(body))

    async def _answered(self, body: dict[str, Any]) -> Response:
        """The reply, where a place at llama.cpp is free; a stream gives it back when it ends."""
        await self._places.acquire()
        kept = False
        try:
            found = await self._forwarded(body)
            kept = hasattr(found, "body_iterator")
            return found
        finally:
            if not kept:
                self._places.release()

    async def _forwarded(self, body: dict[str, Any]) -> Response:
        import httpx
        from starlette.responses import JSONResponse

        name = body.pop("model")
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
            return _streamed(reply, name, self._places.release)
        try:
            content: object = json.loads(await reply.aread())
        except (httpx.TransportError, ValueError):
            return _loading()
        finally:
            await reply.aclose()
        if reply.status_code != 200:
            return _declined(reply.status_code, content)
        answer = cast("dict[str, Any]", content)
        answer["model"] = name
        return JSONResponse(answer)

    def _refused(self, request: Request) -> Response | None:
        """401 where a key is needed and another one, or none, was sent.

        403 where none is needed and the request is meant for another machine: a page of the web may let its own name
        point to this one (DNS rebinding).
        """
        from starlette.responses import JSONResponse

        if not self._offer.key:
            if is_loopback(host_name(request.headers.get("host", ""))):
                return None
            said = "Without a key this is answered at localhost alone."
            return JSONResponse(_error(said, "permission_error"), 403)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Headers are bytes, read as Latin-1.
        same = hmac.compare_digest(given.strip().encode("latin-1"), self._offer.key.encode())
        if scheme.lower() == "bearer" and same:
            return None
        return JSONResponse(
            _error("This key is not the one.", "authentication_error"),
            401,
            headers={"WWW-Authenticate": "Bearer"},
        )


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """What the work gives. It is given up where the client goes away meanwhile, so that llama.cpp ends it too."""
    answering, leaving = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            await asyncio.wait({answering})
            return _loading()  # that nobody reads
        return answering.result()
    finally:
        for each in (answering, leaving):
            each.cancel()


async def _gone(request: Request) -> None:
    """Returns when the client has gone away; its request is read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _streamed(reply: Any, name: str, release: Callable[[], None]) -> Response:
    """The events of an answer as they come; `release` is called at their end, also where the client has gone before."""
    from starlette.responses import StreamingResponse

    class Streamed(StreamingResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                release()
                await reply.aclose()

    return Streamed(_passed_on(reply, name), media_type="text/event-stream")


async def _passed_on(reply: Any, name: str) -> AsyncGenerator[bytes]:
    """The events of an answer as they come; one of an error where llama.cpp ends in the middle."""
    import httpx

    rest = b""
    try:
        async for part in reply.aiter_raw():
            *lines, rest = (rest + part).split(b"\n")  # texts may hold what else ends a line
            for line in lines:
                yield _named(line, name) + b"\n"
        if rest:
            yield rest
    except (httpx.TransportError, httpx.StreamError):
        yield f"data: {json.dumps(_error('llama.cpp has ended.', 'server_error'))}\n\n".encode()


def _named(line: bytes, name: str) -> bytes:
    """A line of the events, with the name of the model that was asked for."""
    if not line.startswith(b"data: {"):
        return line
    content: dict[str, Any] = json.loads(line[6:])
    if "model" in content:
        content["model"] = name
    return b"data: " + json.dumps(content, ensure_ascii=False).encode()


async def _body(request: Request) -> bytes:
    """Raises BadRequest where it is too long or too slow, or the client has gone."""
    from starlette.requests import ClientDisconnect

    found = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                found += part
                if len(found) > _LARGEST_BODY:
                    raise BadRequest(f"A request has {_LARGEST_BODY:,} bytes at most.")
    except ClientDisconnect:
        raise BadRequest("The request ended in the middle.") from None
    except TimeoutError:
        raise BadRequest(f"A request comes within {_BODY_SECONDS:.0f} seconds.") from None
    return bytes(found)


def _path(request: Request) -> str:
    return str(request.scope["path"])[:200]


def _declined(status: int, content: object) -> Response:
    """An error of llama.cpp's. One that is not the client's is no error of this program either: 502."""
    from starlette.responses import JSONResponse

    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse(_error(_said(content), kind), status if status < 500 else 502)


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
