"""A test of two models, served in a thread on a real port, and clients of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from lexitrain.abtest.engines.engine import EngineFailure, Question, Said
from lexitrain.abtest.engines.open_engine import Arms
from lexitrain.abtest.log.database import Address
from lexitrain.abtest.service.consent import own_consent
from lexitrain.abtest.service.settings import RequestLimits, ServiceSettings
from lexitrain.tasks import registry

for _package in ("fastapi", "uvicorn"):
    pytest.importorskip(_package, reason="the extra ab is not installed")

TOKEN = "the-token-of-the-team"
GOOD = '{"corrected":"She goes to school.","errors":[{"type":"replacement","span":"go"}]}'


class ScriptedEngine:
    """Answers as the learner's text asks for: `fail`, `break`, `hang`, `nonsense`, `hostile`, else `GOOD`.

    Attributes:
        asked: how often.
    """

    def __init__(self, name: str, answer: str = GOOD) -> None:
        self.name, self.answer_text = name, answer
        self.asked = 0
        self.hanging = threading.Event()
        self.answer_of: Callable[[str], str] | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def answer(self, question: Question, tell: Callable[[str], None]) -> Said:
        self.asked += 1
        text = question.record.input
        if "fail" in text:
            raise EngineFailure("It was told to fail.")
        if "break" in text:
            raise RuntimeError("a fault")
        said = self.answer_text if self.answer_of is None else self.answer_of(text)
        if "nonsense" in text:
            said = "no JSON"
        for at in range(0, len(said), 10):
            tell(said[at : at + 10])
            if "hang" in text and at == 10:
                self.hanging.set()
                await asyncio.sleep(600)
            await asyncio.sleep(0)
        return Said(said, "cut" in text)


class ServedTest:
    """A context manager.

    Attributes:
        port: where it listens.
        data: its database.
        told: what it told.
    """

    def __init__(
        self,
        data: Path | str,
        a: Any = None,
        b: Any = None,
        *,
        ratio: float = 0.5,
        experiment: str = "ab",
        tasks: tuple[str, ...] = ("grammar", "fluency", "vocabulary", "dialogue", "explanation"),
        **settings: Any,
    ) -> None:
        from lexitrain.abtest.service.service import Service

        self.data = data
        self.told: list[str] = []
        self.a = a or ScriptedEngine("model-a")
        self.b = b or ScriptedEngine("model-b")
        known = {name: task for name, task in registry().items() if name in tasks}
        known = {name: known[name] for name in tasks}
        settings.setdefault("limits", RequestLimits(learner=0, address=0))
        found = ServiceSettings(
            token=TOKEN,
            **{"title": "English tutor", "consent": own_consent(keep_texts=False), **settings},
        )
        self._service = Service(
            Address(data), str(data), experiment, ratio, "",
            Arms(self.a, self.b, known, known), found, self.told.append,
        )  # fmt: skip
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        from lexitrain.abtest.service.server import server

        try:
            with asyncio.Runner() as runner:
                try:
                    application = runner.run(self._service.open())
                    self._uvicorn = server(application, "127.0.0.1", 0, "")
                    self._ready.set()
                    runner.run(self._uvicorn.serve())
                finally:
                    runner.run(self._service.close())
        except BaseException as error:
            self._failed = error
            self._ready.set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(240)
        if self._failed:
            raise self._failed
        wait_until(lambda: self._uvicorn.started)
        self.port: int = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._failed:
            raise self._failed

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tutor(self) -> Any:
        return self._service._tutor

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a reply to a request that holds anything."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {**sent, **named})
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def call(self, method: str, path: str, content: Any = None, who: str = "") -> tuple[int, Any]:
        """Status and JSON of a reply."""
        body = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"Bearer {who}"} if who else {}
        status, _, said = self.raw(method, path, body, **headers)
        return status, json.loads(said) if said else None

    def learner(self) -> str:
        """Somebody who has agreed."""
        _, consent = self.call("GET", "/v1/consent")
        status, welcome = self.call(
            "POST", "/v1/consent", {"version": consent["version"], "agreed": True}
        )
        assert status == 200, welcome
        return str(welcome["learner"])

    def ask(self, learner: str, text: str = "She go to school.", task: str = "grammar") -> Any:
        """An answer."""
        status, reply = self.call("POST", f"/v1/tutor/{task}", {"text": text}, learner)
        assert status == 200, reply
        return reply

    def opened(self, learner: str, text: str, *, stream: bool = True) -> socket.socket:
        """A connection on which a request has been sent."""
        body = json.dumps({"text": text, "stream": stream}).encode()
        found = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        found.sendall(
            f"POST /v1/tutor/grammar HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {learner}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return found

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """What the database has, as another program reads it."""
        with sqlite3.connect(f"file:{self.data}?mode=ro", uri=True) as log:
            return log.execute(statement, values).fetchall()

    def states(self) -> list[str]:
        """Of all exposures, in order."""
        return [each[0] for each in self.rows("SELECT state FROM exposures ORDER BY at")]


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Waits until something holds; fails where it does not come to."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
