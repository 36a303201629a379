"""The gateway on a real port, and clients of it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import uvicorn

from lexitrain.evaluation import answer_gbnf, asked_gbnf, plain_text
from lexitrain.serving import LlamaServer, Offer, file_facts, gateway
from lexitrain.tasks import registry

ASKED = [{"role": "user", "content": "Task: grammar_correction\nText: She go to school."}]


def nano_offer(file: Path, **more: Any) -> Offer:
    """What `serve` offers of a file."""
    tasks = registry()
    return Offer(
        model=file.stem,
        grammars={name: answer_gbnf(task) for name, task in tasks.items()},
        systems={name: task.system for name, task in tasks.items()},
        held_to=asked_gbnf,
        plain=plain_text(file_facts(file).specials),
        **more,
    )


class Served:
    """The gateway, in a thread of this process. A context manager.

    Attributes:
        said: what it told.
        port: where it listens.
    """

    def __init__(self, server: LlamaServer, offer: Offer) -> None:
        self.server, self.offer = server, offer
        self.said: list[str] = []
        application = gateway(server, offer, self.said.append)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                application,
                host="127.0.0.1",
                port=0,
                http="h11",
                ws="none",
                log_level="warning",
            )
        )
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._uvicorn.started)
        self.port: int = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def raw(
        self,
        body: bytes | str,
        *,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        **headers: str,
    ) -> tuple[int, Any]:
        """Status and JSON of the reply to a request that holds anything."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {self.offer.key}"}
        try:
            data = body.encode(errors="surrogatepass") if isinstance(body, str) else body
            connection.request(method, path, data, {**sent, **headers})
            reply = connection.getresponse()
            content = reply.read()
            return reply.status, json.loads(content) if content else None
        finally:
            connection.close()

    def chat(self, messages: Any = None, **settings: Any) -> tuple[int, Any]:
        """Status and JSON of the reply to a chat request."""
        return self.raw(json.dumps({"messages": messages or ASKED, **settings}))

    def answer(self, messages: Any = None, **settings: Any) -> str:
        """The text of an answer."""
        status, reply = self.chat(messages, **settings)
        assert status == 200, reply
        return reply["choices"][0]["message"]["content"]

    def events(self, **settings: Any) -> list[str]:
        """What stands behind `data: ` in the events of a stream."""
        stream = self.opened(stream=True, **settings)
        with stream, stream.makefile("rb") as lines:
            head = [*iter(lines.readline, b"\r\n")]
            assert head[0].startswith(b"HTTP/1.1 200"), head
            assert any(b"text/event-stream" in line for line in head)
            text = _dechunked(lines).decode()
        assert text.endswith("\n\n")
        return [each.removeprefix("data: ") for each in text.strip().split("\n\n")]

    def opened(self, messages: Any = None, **settings: Any) -> socket.socket:
        """A connection on which a chat request has been sent."""
        body = json.dumps({"messages": messages or ASKED, **settings}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.offer.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        found = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        found.sendall(head.encode() + body)
        return found


def _dechunked(lines: Any) -> bytes:
    found = b""
    while size := int(lines.readline(), 16):
        found += lines.read(size)
        lines.read(2)
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Waits until something holds; fails where it does not come to."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
