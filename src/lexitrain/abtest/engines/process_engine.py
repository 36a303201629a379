"""A run, an adapter, a merged folder or a base, in a process of its own: it answers exactly as `predict` does.

Answers come whole: a piece at a time would be more work for the same words. For many learners at once the file of an
export, or a server such as vLLM, answers faster.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import IO, Any

from lexitrain.abtest.engines.engine import EngineFailure, Question, Said, answered_within
from lexitrain.abtest.recurring import Recurring
from lexitrain.errors import ModelError

_LONGEST_LINE = 4_000_000  # bytes
_TOGETHER = 8
_LOOK_SECONDS = 0.5
_END_SECONDS = 5.0


class ProcessEngine:
    """A model, asked.

    Attributes:
        name: as it was given.

    Args:
        tasks: short names of those that it is asked about.
        threads: that compute; by default those that torch takes.
        json_schema: whether answers are held to the task's schema.
        seconds: longest wait for an answer.
        custom_tasks: files of tasks of the user's own.
        tell: called with a sentence where it ends.
    """

    def __init__(
        self,
        name: str,
        *,
        tasks: Sequence[str],
        threads: int | None,
        json_schema: bool,
        seconds: float,
        custom_tasks: Sequence[str],
        tell: Callable[[str], None],
    ) -> None:
        self.name = name
        self._settings = {
            "model": name,
            "tasks": list(tasks),
            "threads": threads,
            "json_schema": json_schema,
            "custom_tasks": list(custom_tasks),
            "together": _TOGETHER,
        }
        self._seconds = seconds
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._sending = asyncio.Lock()
        self._log: IO[bytes] | None = None
        self._watch = Recurring(f"The process of {name}", self._look, _LOOK_SECONDS, tell)

    async def open(self) -> None:
        await self._start()
        self._watch.start()

    async def _start(self) -> None:
        self._close_log()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "lexitrain.abtest.engines.answering_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            limit=_LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        try:
            said = await self._sent(self._settings, reads=True)
        except BaseException:
            await self._end()
            raise
        if "refused" in said:
            await self._end()
            raise ModelError(said["refused"], where=said["where"] or self.name, fix=said["fix"])
        self._ready = True

    async def _sent(self, content: dict[str, Any], *, reads: bool = False) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with self._sending:
                process.stdin.write(json.dumps(content).encode() + b"\n")
                await process.stdin.drain()
            line = await process.stdout.readline() if reads else b"{}"
        except OSError:
            line = b""
        if not line:
            raise ModelError(f"The model cannot be loaded{self._last_words()}.", where=self.name)
        return dict(json.loads(line))

    async def _look(self) -> None:
        """Hand answers over until it ends; the next time start it again. Requests fail meanwhile, and are counted."""
        if not self._ready:
            await self._start()
        try:
            await self._read()
        finally:
            self._ready = False
            ended = f"Its process has ended{self._last_words()}."
            for each in self._waiting.values():
                if not each.done():
                    each.set_exception(EngineFailure(ended))
            self._waiting.clear()
            await self._end()
        raise ModelError(ended, where=self.name)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while self._ready and (line := await self._process.stdout.readline()):
            said: dict[str, Any] = json.loads(line)
            waiting = self._waiting.pop(said["id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)

    async def answer(self, question: Question, tell: Callable[[str], None]) -> Said:
        if not self._ready:
            raise EngineFailure("Its process has ended and is started again.")
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with answered_within(self._seconds):
                await self._sent(
                    {"id": number, "task": question.task.short, "text": question.record.input}
                )
                said = await waiting
        except ModelError as error:
            raise EngineFailure(error.what) from None
        finally:
            if self._waiting.pop(number, None) is not None and self._ready:
                with suppress(ModelError):  # where nobody waits any more, nothing need be computed
                    self._give_up(number)
        if "failed" in said:
            raise EngineFailure(said["failed"])
        tell(said["text"])
        return Said(said["text"], bool(said["cut"]))

    def _give_up(self, number: int) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps({"cancel": number}).encode() + b"\n")

    async def close(self) -> None:
        async with AsyncExitStack() as closing:
            closing.callback(self._close_log)
            closing.push_async_callback(self._end)
            await self._watch.close()
            self._ready = False

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _last_words(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode(errors="replace").strip().splitlines()
        return f": {lines[-1].strip()[:300].rstrip('.')}" if lines else ""
