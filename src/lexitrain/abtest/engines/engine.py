"""What answers for one arm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.tasks import Task


class EngineFailure(Exception):
    """The model gives no answer; the message is for the team, not for learners."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        task: by which it is asked.
        record: the learner's text, tidied as in training.
        streamed: whether pieces are wanted as they come.
    """

    task: Task
    record: Record
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said.

    Attributes:
        text: all of it.
        cut: whether it ran into the limit of tokens instead of ending; it is no answer then.
    """

    text: str
    cut: bool


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncGenerator[None]:
    """The time for an answer from its question to its last piece, however it comes.

    Raises:
        EngineFailure: it is over.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise EngineFailure(f"No answer in {seconds:g} s.") from None


class Engine(Protocol):
    """One arm's model.

    Attributes:
        name: for the team.
    """

    name: str

    async def open(self) -> None:
        """Get ready.

        Raises:
            LexiTrainError: the model cannot be loaded or reached.
        """
        ...

    async def answer(self, question: Question, tell: Callable[[str], None]) -> Said:
        """The answer, whole within the time that the engine has for one; given up at once where the task that awaits it
        is cancelled.

        Args:
            tell: called with each piece of a streamed answer; where the model cannot stream, with the whole.

        Raises:
            EngineFailure: there is none.
        """
        ...

    async def close(self) -> None:
        """End what was begun."""
        ...
