"""Answers to prompts of one task, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.evaluation.generation.decoding import Decoding
from lexitrain.evaluation.generation.schema_masks import SchemaMasks

if TYPE_CHECKING:
    from lexitrain.samples import Ids, Renderer
    from lexitrain.tasks import Task


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said.

    Attributes:
        text: without what ended it.
        limit: the number of tokens at which it was cut off; None where it ended.
    """

    text: str
    limit: int | None

    @property
    def truncated(self) -> str | None:
        """That it was cut off, as a reason why it is no answer; None where it ended."""
        return (
            None
            if self.limit is None
            else f"ended at the limit of {number_of(self.limit, 'token')}"
        )


def ask(
    model: Any,
    renderer: Renderer,
    task: Task,
    prompts: Sequence[Ids],
    *,
    maximum_tokens: int = 0,
    decoding: Decoding | None = None,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[list[Said]]:
    """The model's answers to prompts of one task, `decoding.samples` to each; none has more tokens than the task's
    answers may have, or `maximum_tokens` where that is more."""
    from lexitrain.evaluation.generation.continuations import generate

    decoding = decoding or Decoding()
    limit = min(max(task.maximum_answer_tokens, maximum_tokens), renderer.max_length)
    tokenizer = renderer.tokenizer
    answers = generate(
        model,
        tokenizer,
        prompts,
        limit,
        renderer.stop_ids,
        decoding=decoding,
        masks=SchemaMasks(tokenizer, renderer.stop_ids, task) if decoding.json_schema else None,
        batch_size=batch_size,
        progress=progress,
    )
    return [
        [
            Said(
                tokenizer.decode(answer.tokens, clean_up_tokenization_spaces=False),
                limit if answer.truncated else None,
            )
            for answer in each
        ]
        for each in answers
    ]


def numbered(answers: Sequence[Said]) -> list[tuple[int | None, Said]]:
    """Answers to the same prompt with their numbers from 1; a single one has none."""
    if len(answers) == 1:
        return [(None, answers[0])]
    return list(enumerate(answers, start=1))
