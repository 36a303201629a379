"""What stands before every request: size, time, host, and the headers that every reply has.

Plain ASGI: a body is read whole, up to its limit, before anything else sees it, and a client that goes away is still
noticed behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lexitrain.abtest.service.settings import RequestLimits
from lexitrain.serving import host_name
from lexitrain.storage import json_text

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

LARGEST_HEAD = 16_384
"""Bytes."""
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        b" form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


class Shield:
    """Args:
    application: behind it.
    limits: of requests.
    names: under which the service may be asked for; empty: any.
    """

    def __init__(
        self, application: Application, limits: RequestLimits, names: frozenset[str]
    ) -> None:
        self._application = application
        self._limits = limits
        self._names = names

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        send = _with_headers(send)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if (refused := self._refused(headers)) is not None:
            await _refuse(send, *refused)
            return
        if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            try:
                body = await self._body(headers, receive)
            except _Gone:
                return
            except _Refused as refusal:
                await _refuse(send, *refusal.args)
                return
            receive = _again(body, receive)
        await self._application(scope, receive, send)

    def _refused(self, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        # The server has a limit of its own, which a head that comes at once passes by.
        if sum(map(len, headers.values())) > LARGEST_HEAD:
            return 431, "head", f"The head of a request has {LARGEST_HEAD:,} bytes at most."
        if (
            self._names
            and host_name(headers.get(b"host", b"").decode("latin-1")) not in self._names
        ):
            return 421, "host", "This service is not asked for under this name."
        if headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"} and (
            headers.get(b"sec-fetch-mode") != b"navigate"
        ):
            return 403, "cross_site", "Pages of other sites cannot ask this service."
        return None

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        most = self._limits.body
        too_long = _Refused(413, "too_long", f"A request has {most:,} bytes at most.")
        told = headers.get(b"content-length", b"0")
        if not told.isdigit():
            raise _Refused(400, "length", "Content-Length is no number.")
        if len(told) > 12 or int(told) > most:
            raise too_long
        found = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    found += message.get("body", b"")
                    if len(found) > most:
                        raise too_long
                    if not message.get("more_body", False):
                        return bytes(found)
        except TimeoutError:
            raise _Refused(408, "slow", "The request did not come to its end.") from None


class _Gone(Exception):
    """The client has left."""


class _Refused(Exception):
    """Status, code, message."""


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, then what comes after it."""
    handed = False

    async def found() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return found


def _with_headers(send: Send) -> Send:
    async def found(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            more = [] if b"cache-control" in there else [(b"cache-control", b"no-store")]
            message["headers"] = [*message["headers"], *_HEADERS, *more]
        await send(message)

    return found


async def _refuse(send: Send, status: int, code: str, said: str) -> None:
    body = json_text({"error": {"code": code, "message": said}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what is left of the request is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
