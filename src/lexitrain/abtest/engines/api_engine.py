"""A model behind an OpenAI-compatible address: vLLM, the server of llama.cpp, Ollama.

It is asked with the body by which `evaluate` asks it. Nothing that it sends is trusted to be of any form or size.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

from lexitrain.abtest.engines.engine import EngineFailure, Question, Said, answered_within
from lexitrain.errors import ModelError
from lexitrain.evaluation import Decoding, addressed, chat_body, is_this_machine, said_in

if TYPE_CHECKING:
    import httpx

    from lexitrain.evaluation import RemoteModel

_LARGEST_REPLY = 1_000_000  # bytes
_CONNECT_SECONDS = 5.0
_CLIENTS = 16
_IDLE_SECONDS = 2.0
"""A connection that has waited longer is not used again: the server may be closing it just then."""


class ApiEngine:
    """A `RemoteModel`, asked.

    Attributes:
        name: address and model.

    Args:
        remote: where it is.
        json_schema: whether answers are held to the task's schema.
        seconds: longest wait for an answer.
        at_once: most requests under way.
    """

    def __init__(
        self, remote: RemoteModel, *, json_schema: bool, seconds: float, at_once: int
    ) -> None:
        self.name = remote.name
        self._remote = remote
        self._decoding = Decoding(json_schema=json_schema)
        self._seconds = seconds
        self._at_once = at_once
        self._url, self._headers = addressed(remote.address, "/chat/completions", remote.key)
        self._clients: list[httpx.AsyncClient] = []
        self._turn = 0

    async def open(self) -> None:
        import httpx

        # httpx looks at all of a client's connections at each request: several clients with few each cost less.
        trusted = httpx.create_ssl_context()
        self._clients = [
            httpx.AsyncClient(
                verify=trusted,
                # The answer as a whole has its time; httpx would begin anew with each piece of it.
                timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
                trust_env=not is_this_machine(self._url),  # no proxy of the environment reaches it
                limits=httpx.Limits(
                    max_connections=None,  # the service itself limits what is under way
                    max_keepalive_connections=max(1, self._at_once // _CLIENTS),
                    keepalive_expiry=_IDLE_SECONDS,
                ),
            )
            for _ in range(_CLIENTS)
        ]

    async def close(self) -> None:
        async with AsyncExitStack() as closing:
            for client in self._clients:
                closing.push_async_callback(client.aclose)

    async def answer(self, question: Question, tell: Callable[[str], None]) -> Said:
        async with answered_within(self._seconds):
            return await self._answer(question, tell)

    async def _answer(self, question: Question, tell: Callable[[str], None]) -> Said:
        import httpx

        task = question.task
        body = chat_body(
            self._remote, task, question.record, self._decoding, task.maximum_answer_tokens
        )
        body["stream"] = question.streamed
        for last in (False, True):
            try:
                return await self._asked(body, tell)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                # A connection that was closed while it waited; nothing has been told of the answer.
                if last or question.streamed:
                    raise EngineFailure(
                        f"The connection broke: {error or type(error).__name__}."
                    ) from None
            except httpx.HTTPError as error:
                raise EngineFailure(
                    f"It cannot be reached: {error or type(error).__name__}."
                ) from None
        raise AssertionError

    async def _asked(self, body: dict[str, Any], tell: Callable[[str], None]) -> Said:
        self._turn = (self._turn + 1) % _CLIENTS
        async with self._clients[self._turn].stream(
            "POST", self._url, content=json.dumps(body), headers=self._headers
        ) as reply:
            if reply.status_code != 200:
                said = b""
                async for part in reply.aiter_bytes():
                    said += part
                    if len(said) > 300:
                        break
                raise EngineFailure(
                    f"It refuses with {reply.status_code}: {said[:300].decode(errors='replace')!r}."
                )
            if body["stream"]:
                return await _streamed(_limited(reply.aiter_bytes()), tell)
            whole = b"".join([part async for part in _limited(reply.aiter_bytes())])
        try:
            content: object = json.loads(whole)
            text, cut = said_in(cast("dict[str, Any]", content), self._remote)
        except (ValueError, RecursionError, ModelError) as error:
            raise EngineFailure(f"Its reply holds no answer: {str(error)[:200]}") from None
        tell(text)
        return Said(text, cut)


async def _limited(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for part in parts:
        size += len(part)
        if size > _LARGEST_REPLY:
            raise EngineFailure(f"Its reply is longer than {_LARGEST_REPLY:,} bytes.")
        yield part


async def _streamed(parts: AsyncIterator[bytes], tell: Callable[[str], None]) -> Said:
    """An answer that comes as server-sent events, as OpenAI writes them."""
    rest, ended, done = b"", None, False
    texts: list[str] = []
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            event = (
                line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
            )
            if event == b"[DONE]":
                done = True
            elif event:
                text, reason = _piece(event)
                ended = reason or ended
                if text:
                    texts.append(text)
                    tell(text)
    if ended == "error":
        raise EngineFailure(f"It failed midway, after {''.join(texts)[:200]!r}.")
    if ended is None and not done:
        raise EngineFailure("Its stream ended before the answer did.")
    return Said("".join(texts), ended == "length")


def _piece(event: bytes) -> tuple[str, str | None]:
    """The text of an event, and why the answer ended, where it has."""
    try:
        content: Any = json.loads(event)
        if "error" in content:
            raise EngineFailure(f"It failed midway: {str(content['error'])[:200]}.")
        if not content["choices"]:  # such as one that counts tokens
            return "", None
        choice = content["choices"][0]
        text, reason = choice.get("delta", {}).get("content"), choice.get("finish_reason")
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        raise EngineFailure(f"Its stream holds something else: {event[:200]!r}.") from None
    if not isinstance(text, str | None) or not isinstance(reason, str | None):
        raise EngineFailure(f"Its stream holds something else: {event[:200]!r}.")
    return text or "", reason
