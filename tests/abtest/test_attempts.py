"""A request from its question to its end."""

from __future__ import annotations

import asyncio
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from lexitrain.abtest.engines.engine import Question
from lexitrain.abtest.service.attempts import Attempt, Ended, Places
from lexitrain.records import Record
from lexitrain.tasks import registry
from tests.abtest.served import GOOD, ScriptedEngine


def test_an_answer_is_read_once() -> None:
    """Reading it takes time that other learners wait for."""
    read: list[str] = []

    def parse(text: str) -> Any:
        read.append(text)
        return registry()["grammar"].parse(text)

    task: Any = SimpleNamespace(parse=parse)
    ended: list[Ended] = []

    async def run() -> Any:
        question = Question(task, Record("grammar", "She go.", None, {}))
        attempt = Attempt(
            ScriptedEngine("model"), question, perf_counter(), ended.append, Places(1)
        )
        return await attempt.result(), await attempt.result()

    first, again = asyncio.run(run())
    assert first == again == (GOOD, registry()["grammar"].parse(GOOD))
    assert [(each.state, each.text) for each in ended] == [("answered", GOOD)]
    assert read == [GOOD]
