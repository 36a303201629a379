"""A GGUF file, with or without an adapter, on llama.cpp in a process of its own, started again where it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from lexitrain.abtest.engines.api_engine import ApiEngine
from lexitrain.abtest.engines.engine import EngineFailure, Question, Said
from lexitrain.abtest.recurring import Recurring
from lexitrain.evaluation import RemoteModel, answer_context, plain_text
from lexitrain.serving import LlamaServer, file_facts

_LOOK_SECONDS = 0.5


class FileEngine:
    """A file, asked.

    Attributes:
        name: as it was given.

    Args:
        file, adapter: in GGUF.
        slots: prompts that llama.cpp answers together.
        threads: that compute; by default one a core.
        json_schema, seconds, at_once: as of `ApiEngine`.
        tell: called with a sentence where it ends and cannot be started again.
    """

    def __init__(
        self,
        name: str,
        file: Path,
        adapter: Path | None,
        *,
        slots: int,
        threads: int | None,
        json_schema: bool,
        seconds: float,
        at_once: int,
        tell: Callable[[str], None],
    ) -> None:
        self.name = name
        facts = file_facts(file)
        self._plain = plain_text(facts.specials)
        self._server = LlamaServer(
            file,
            adapters=[] if adapter is None else [adapter],
            adapter_scale=1.0,
            slots=slots,
            threads=threads,
            context=answer_context(facts),
        )
        self._json_schema, self._seconds, self._at_once = json_schema, seconds, at_once
        self._asked: ApiEngine | None = None
        self._watch = Recurring(f"llama.cpp with {name}", self._look, _LOOK_SECONDS, tell)

    async def open(self) -> None:
        await self._start()
        self._watch.start()

    async def _start(self) -> None:
        await asyncio.to_thread(self._server.start)
        remote = RemoteModel(
            f"{self._server.address}/v1",
            self._server.file.stem,
            key=self._server.key,
            llama_cpp=True,
            plain=self._plain,
        )
        asked = ApiEngine(
            remote, json_schema=self._json_schema, seconds=self._seconds, at_once=self._at_once
        )
        await asked.open()
        self._asked = asked

    async def _look(self) -> None:
        """Start it again where it has ended; requests fail meanwhile, and are counted."""
        if self._asked is not None and self._server.is_running:
            return
        before, self._asked = self._asked, None
        if before is not None:
            await before.close()
        await self._start()

    async def answer(self, question: Question, tell: Callable[[str], None]) -> Said:
        if self._asked is None:
            raise EngineFailure("llama.cpp has ended and is started again.")
        return await self._asked.answer(question, tell)

    async def close(self) -> None:
        async with AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.to_thread, self._server.stop)
            if self._asked is not None:
                closing.push_async_callback(self._asked.close)
            await self._watch.close()
