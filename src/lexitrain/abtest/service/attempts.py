"""A request from its exposure to its end.

The exposure is on the disk before the model is asked. The model is asked in a task of its own, whose end completes the
exposure, however it comes: by an answer, by an error, or because the learner has left. So there is one row for each
request, and one end of it, also where the connection breaks in the middle of a stream.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from lexitrain.abtest.engines.engine import Engine, EngineFailure, Question, Said

if TYPE_CHECKING:
    from lexitrain.abtest.log.entries import State
    from lexitrain.tasks import Answer, Task


class Read(NamedTuple):
    """What was said, and what the task reads in it; None where it reads nothing."""

    text: str
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended.

    Attributes:
        state: see `State`.
        seconds: from the request on.
        text: what the model said; empty without an answer.
        failure: for the team, where the state is `error`.
    """

    state: State
    seconds: float
    text: str = ""
    failure: str = ""


class Attempt:
    """The model is asked when this is made.

    Args:
        engine: that answers.
        question: what is asked.
        start: by `perf_counter`, of the request.
        ended: called once, at the end.
        places: of the arm; without one free, the attempt is an error at once.
    """

    def __init__(
        self,
        engine: Engine,
        question: Question,
        start: float,
        ended: Callable[[Ended], None],
        places: Places,
    ) -> None:
        self._start = start
        self._ended = ended
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._work = asyncio.create_task(self._asked(engine, question, places))
        self._work.add_done_callback(self._end)

    async def _asked(self, engine: Engine, question: Question, places: Places) -> Read:
        with places:
            said = await engine.answer(question, self._pieces.put_nowait)
        return _read(question.task, said)

    def _end(self, work: asyncio.Task[Read]) -> None:
        seconds = perf_counter() - self._start
        self._pieces.put_nowait(None)
        if work.cancelled():
            self._ended(Ended("gone", seconds))
        elif (error := work.exception()) is not None:
            known = isinstance(error, EngineFailure)
            failure = str(error) if known else f"{type(error).__name__}: {error}"
            self._ended(Ended("error", seconds, failure=failure))
        else:
            text, answer = work.result()
            self._ended(Ended("invalid" if answer is None else "answered", seconds, text))

    async def pieces(self) -> AsyncIterator[str]:
        """What the model says, as it comes."""
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def result(self) -> Read:
        """The text, and the answer that the task reads in it.

        Raises:
            EngineFailure: there is none.
        """
        await asyncio.wait({self._work})
        if self._work.cancelled():
            raise EngineFailure("It was given up.")
        error = self._work.exception()
        if error is not None:
            raise error if isinstance(error, EngineFailure) else EngineFailure(str(error))
        return self._work.result()

    def give_up(self) -> None:
        """The learner has left."""
        self._work.cancel()


class Places:
    """How many requests an arm has under way. A context manager for one.

    Args: most: at once.
    """

    def __init__(self, most: int) -> None:
        self._free = most

    def __enter__(self) -> None:
        """Raises EngineFailure where there is no place."""
        if not self._free:
            raise EngineFailure("Too many requests are under way.")
        self._free -= 1

    def __exit__(self, *_: object) -> None:
        self._free += 1


def _read(task: Task, said: Said) -> Read:
    """The text, and the answer, where the task can read it; one that was cut off is none, and neither is one that
    cannot be sent on: JSON can spell half a character, or a number without end."""
    text = whole(said.text)
    if said.cut:
        return Read(text, None)
    try:
        found = task.parse(text)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except Exception:  # a task of the user's own may stumble over anything
        return Read(text, None)
    return Read(text, found)


def whole(text: str) -> str:
    """A text that can be sent: JSON can spell half a character, and models do."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
