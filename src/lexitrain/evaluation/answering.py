"""Answers of a model to texts of one task: what `lexitrain predict` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexitrain.errors import TaskError
from lexitrain.evaluation.generation import generate
from lexitrain.evaluation.located_model import LocatedModel, load_model, locate_model
from lexitrain.records import Record
from lexitrain.samples import Ids, Renderer
from lexitrain.tasks import Answer, Task, find_task


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one text.

    Attributes:
        task: short name.
        input: the learner's text.
        answer: the answer's fields; None when it is not valid.
        text: what the model said.
        problem: why that is no valid answer; None when it is one.
    """

    task: str
    input: str
    answer: Answer | None
    text: str
    problem: str | None

    @property
    def valid(self) -> bool:
        """Whether the answer is JSON with exactly the task's keys and types."""
        return self.answer is not None

    def to_json(self) -> dict[str, Any]:
        """The prediction as JSON."""
        return {
            "task": self.task,
            "input": self.input,
            "answer": self.answer,
            "valid": self.valid,
            "text": self.text,
            "problem": self.problem,
        }


class Answerer:
    """A model loaded to answer texts of one task.

    Args:
        model: a run, an adapter folder, a base folder, `nano`, or a Hub id.
        task: short name or name in the prompt; not needed where the model knows one task only.

        custom_tasks: `path.py` or `module:attribute` of tasks beside those that the model's recipe names.

    Raises:
        TaskError: there is no such task, or the model knows several and none was named.
        ModelError: the model cannot be had.
        RunError: the run has no adapter yet.
    """

    def __init__(
        self, model: str | Path, task: str | None = None, *, custom_tasks: Sequence[str] = ()
    ) -> None:
        located = locate_model(model)
        tasks = located.registry(custom_tasks)
        self.task = find_task(task, tasks, where="--task") if task else tasks[_only_task(located)]
        loaded = load_model(located)
        loaded.select(self.task.short)
        self._model = loaded.model
        self._renderer = Renderer(loaded.tokenizer, tasks, located.max_length)

    def answer(self, texts: Sequence[str]) -> list[Prediction]:
        """The answer to each text, greedily; texts are answered together."""
        task = self.task
        prompts = [self._renderer.prompt_ids(Record(task.short, text, None, {})) for text in texts]
        return [
            Prediction(task.short, text, task.parse(said), said, task.invalid(said))
            for text, said in zip(
                texts, ask(self._model, self._renderer, task, prompts), strict=True
            )
        ]


def answer(
    model: str | Path,
    texts: Sequence[str],
    *,
    task: str | None = None,
    custom_tasks: Sequence[str] = (),
) -> list[Prediction]:
    """A model's answers to texts of one task. To ask the same model again, keep an `Answerer`.

    Args and errors as of `Answerer`.
    """
    return Answerer(model, task, custom_tasks=custom_tasks).answer(texts)


def ask(
    model: Any,
    renderer: Renderer,
    task: Task,
    prompts: Sequence[Ids],
    *,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """The model's answers to prompts of one task, as text."""
    answers = generate(
        model,
        renderer.tokenizer,
        prompts,
        min(task.maximum_answer_tokens, renderer.max_length),
        renderer.stop_ids,
        batch_size=batch_size,
        progress=progress,
    )
    return [
        renderer.tokenizer.decode(answer, clean_up_tokenization_spaces=False) for answer in answers
    ]


def _only_task(located: LocatedModel) -> str:
    if len(located.tasks) == 1:
        return located.tasks[0]
    known = ", ".join(located.tasks) or "fluency, vocabulary, grammar, dialogue, explanation"
    raise TaskError(
        "The model knows several tasks, so say which.",
        where="--task",
        fix=f"One of: {known}.",
    )
