"""Requests to an OpenAI-compatible API, and what a server may do other than answer.

A name and password in the address (`http://me:secret@host/v1`) are sent as HTTP's basic authorization (RFC 7617), else
the key of the environment (`LEXITRAIN_API_KEY`, else `OPENAI_API_KEY`) as a bearer token. Neither stands in a message
nor in a file, and neither leaves for another place: a server that redirects is refused, with where it points to.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from lexitrain.errors import ModelError

_WAITS = (1.0, 4.0, 16.0)
"""Seconds before a request is tried again."""

_LONGEST_WAIT = 60.0  # seconds, of those that a server asks for
_BUSY = frozenset({408, 429, 502, 503, 504})
_ANSWER_SECONDS = 600.0
_LISTING_SECONDS = 60.0  # of a request without a body: nothing is computed for it
_LARGEST_REPLY = 4_000_000  # bytes


def shown_address(address: str) -> str:
    """An address without what may be secret in it: name, password, query.

    Raises:
        ModelError: it has no host, or a port that is none.
    """
    parts = _parts(address)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def request(address: str, path: str, body: dict[str, Any] | None, key: str = "") -> dict[str, Any]:
    """The JSON object that the server replies with; tried again where the connection breaks or the server is busy.

    Args:
        address: of the API.
        path: below it, such as `/models`.
        body: sent as JSON; None asks for a listing, which is tried once where the server cannot be reached.
        key: sent as a bearer token; by default the environment's.

    Raises:
        ModelError: it does not answer, refuses, or replies with something else.
    """
    where = shown_address(address) + path
    target, headers = addressed(address, path, key)
    data = None if body is None else json.dumps(body).encode()
    prepared = urllib.request.Request(target, data=data, headers=headers)
    for wait in (*_WAITS, None):
        try:
            return _once(prepared, _LISTING_SECONDS if body is None else _ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                if error.code not in _BUSY or wait is None:
                    raise _refused(error, where) from None
            time.sleep(_asked_wait(error) or wait)
        except (OSError, http.client.HTTPException) as error:
            if body is None or wait is None:
                raise _no_answer(getattr(error, "reason", error), where) from None
            time.sleep(wait)
        except (ValueError, RecursionError) as error:
            raise _no_answer(error, where) from None
    raise AssertionError


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    else:
        if usable and not any(c.isspace() or ord(c) < 32 for c in address):
            return parts
    raise ModelError(
        "This is no address of an API.",
        where=address.split("://", 1)[0] + "://…",
        fix="Give the address up to /v1, such as http://localhost:8000/v1.",
    )


def addressed(address: str, path: str, key: str = "") -> tuple[str, dict[str, str]]:
    """The URL that is asked, without a name or password in it, and the headers of the request, which have them.

    Args as of `request`.

    Raises:
        ModelError: the address is none, or the key of the environment cannot be one.
    """
    parts = _parts(address)
    host = parts.netloc.rpartition("@")[2]
    target = urlunsplit((parts.scheme, host, parts.path + path, parts.query, ""))
    headers = {"Content-Type": "application/json"}
    if parts.username is not None:
        named = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(named).decode()}"
    elif key := key or _key(shown_address(address) + path):
        headers["Authorization"] = f"Bearer {key}"
    return target, headers


def _key(where: str) -> str:
    """The environment's key. One that cannot stand in a header is refused here, as the error of a library shows it."""
    for name in ("LEXITRAIN_API_KEY", "OPENAI_API_KEY"):
        key = os.environ.get(name, "").strip()
        if not all(33 <= ord(c) < 127 for c in key):
            raise ModelError(
                f"The key in {name} holds characters that no key can have (spaces, line ends, accents).",
                where=where,
                fix="Set it anew.",
            )
        if key:
            return key
    return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the key along to wherever a server points, and turn a question into a listing."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _once(prepared: urllib.request.Request, seconds: float) -> dict[str, Any]:
    handlers: list[Any] = [_NoRedirect]
    if is_this_machine(prepared.full_url):  # no proxy of the environment reaches it
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(prepared, timeout=seconds) as reply:
        content: bytes = reply.read(_LARGEST_REPLY + 1)
    if len(content) > _LARGEST_REPLY:
        raise ValueError(f"its reply is longer than {_LARGEST_REPLY:,} bytes")
    found: object = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return cast("dict[str, Any]", found)


def is_this_machine(url: str) -> bool:
    """Whether a URL points to the machine that asks."""
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}


def _asked_wait(error: urllib.error.HTTPError) -> float | None:
    """Seconds that a busy server wants to be left alone; None where it does not say."""
    try:
        return min(max(float(error.headers.get("Retry-After", "")), 0.0), _LONGEST_WAIT)
    except ValueError:  # none, or a date
        return None


def _refused(error: urllib.error.HTTPError, where: str) -> ModelError:
    if 300 <= error.code < 400:
        try:
            to = shown_address(str(error.headers.get("Location")))
        except ModelError:
            to = "somewhere else"
        return ModelError(
            f"The server redirects to {to}.",
            where=where,
            fix="Give the address itself, if you trust it; a key is not sent on.",
        )
    try:
        said = error.read(500).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        said = ""
    return ModelError(
        f"The server refuses with {error.code}: {said or error.reason}.",
        where=where,
        fix="A key is read from LEXITRAIN_API_KEY." if error.code in (401, 403) else "",
    )


def _no_answer(reason: object, where: str) -> ModelError:
    told = "nested too deeply" if isinstance(reason, RecursionError) else reason
    return ModelError(
        f"The server does not answer as an OpenAI-compatible one ({told or type(reason).__name__}).",
        where=where,
        fix="Give the address up to /v1, such as http://localhost:8000/v1, and start the server.",
    )
