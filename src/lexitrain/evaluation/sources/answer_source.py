"""Who answers: a model that is loaded here, asked in batches; `remote_model.py` has one that is asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lexitrain.evaluation.conversations.turn_loss import turn_losses
from lexitrain.evaluation.generation import Decoding, Said, ask

if TYPE_CHECKING:
    from lexitrain.evaluation.conversations.turns import Turn
    from lexitrain.evaluation.questions import Question
    from lexitrain.samples import Renderer, Sample
    from lexitrain.tasks import Task


class AnswerSource(Protocol):
    """What can be asked.

    Attributes:
        together: questions that are best handed over at once; what was answered is kept after each such handful.
        renderer: of its prompts; None where it is asked by messages.
    """

    together: int
    renderer: Renderer | None

    def select(self, task: Task) -> None:
        """Get ready for questions of a task."""
        ...

    def answers(
        self,
        task: Task,
        questions: Sequence[Question | Turn],
        *,
        decoding: Decoding,
        maximum_tokens: int,
        progress: Callable[[int], None] | None,
    ) -> list[list[Said]]:
        """What it says to each question, `decoding.samples` times.

        Args:
            decoding: how answers are chosen.
            maximum_tokens: most tokens of an answer, where the task's own limit is smaller.
            progress: called with the number of questions answered since the last call.
        """
        ...

    def losses(self, sample: Sample) -> list[float] | None:
        """Nats of each supervised turn of a sample, summed over its tokens; None where it gives no probabilities."""
        ...


class LoadedAnswerSource:
    """A model in this process.

    Args:
        model: a causal language model, with or without adapter.
        renderer: of its prompts.
        batch_size: prompts generated together.
        select: called with the task's short name before its questions, to change adapters.
    """

    def __init__(
        self,
        model: Any,
        renderer: Renderer,
        *,
        batch_size: int,
        select: Callable[[str], None] | None = None,
    ) -> None:
        self.renderer: Renderer | None = renderer
        # Several batches: they are sorted by length, and rows that stop early leave.
        self.together = 4 * batch_size
        self._model = model
        self._renderer = renderer
        self._batch_size = batch_size
        self._select = select

    def select(self, task: Task) -> None:
        if self._select:
            self._select(task.short)

    def answers(
        self,
        task: Task,
        questions: Sequence[Question | Turn],
        *,
        decoding: Decoding,
        maximum_tokens: int,
        progress: Callable[[int], None] | None,
    ) -> list[list[Said]]:
        return ask(
            self._model,
            self._renderer,
            task,
            [question.prompt for question in questions],
            maximum_tokens=maximum_tokens,
            decoding=decoding,
            batch_size=self._batch_size,
            progress=progress,
        )

    def losses(self, sample: Sample) -> list[float] | None:
        return turn_losses(self._model, sample)
