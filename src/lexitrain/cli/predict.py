"""`lexitrain predict`: a model's answer to one text, or to each line of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.console import errors_console, print_json
from lexitrain.errors import InputError

if TYPE_CHECKING:
    from lexitrain.evaluation import Loaded, Subject
    from lexitrain.samples.rendering import Renderer
    from lexitrain.tasks import Task

_LINES = 32  # lines of a pipe that are answered together


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL", help="A run, an adapter folder, a base folder, nano, or a Hub id."
        ),
    ],
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", help="The learner's text. Without it, one a line of standard input."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which task; needed when the model knows several."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document with task, input, answer, valid."),
    ] = False,
) -> None:
    """Print the model's answer to one text, or one a line of standard input."""
    if text is not None and not text.strip():
        raise InputError("The text is empty.", where="TEXT")
    from lexitrain.evaluation import load, locate
    from lexitrain.samples.rendering import Renderer
    from lexitrain.tasks import find_task, registry

    subject = locate(model)
    tasks = registry(subject.custom_tasks)
    chosen = find_task(task, tasks, where="--task") if task else tasks[_only_task(subject)]
    loaded = load(subject)
    loaded.select(chosen.short)
    renderer = Renderer(loaded.tokenizer, tasks, subject.max_length)
    predictions: list[dict[str, Any]] = []
    for lines in [[text]] if text is not None else _chunks():
        for prediction in _answers(loaded, renderer, chosen, lines):
            predictions.append(prediction)
            if not as_json:
                _print(prediction)
    if as_json:
        print_json(predictions[0] if text is not None else predictions)


def _only_task(subject: Subject) -> str:
    if len(subject.tasks) == 1:
        return subject.tasks[0]
    known = ", ".join(subject.tasks) or "fluency, vocabulary, grammar, dialogue, explanation"
    raise InputError(
        "The model knows several tasks, so say which.",
        where="--task",
        fix=f"One of: {known}.",
    )


def _chunks() -> Iterator[list[str]]:
    """Lines of standard input that hold something: one by one from a terminal, many from a pipe."""
    lines = (line.strip() for line in sys.stdin)
    filled = (line for line in lines if line)
    while chunk := list(islice(filled, 1 if sys.stdin.isatty() else _LINES)):
        yield chunk


def _answers(
    loaded: Loaded, renderer: Renderer, task: Task, lines: Sequence[str]
) -> list[dict[str, Any]]:
    from lexitrain.evaluation import ask
    from lexitrain.records.record import Record

    prompts = [renderer.prompt_ids(Record(task.short, line, None, {})) for line in lines]
    texts = ask(loaded.model, renderer, task, prompts)
    return [
        {
            "task": task.short,
            "input": line,
            "answer": task.parse(text),
            "valid": task.parse(text) is not None,
            "text": text,
            "problem": task.invalid(text),
        }
        for line, text in zip(lines, texts, strict=True)
    ]


def _print(prediction: dict[str, Any]) -> None:
    sys.stdout.write(prediction["text"].replace("\n", " ") + "\n")
    sys.stdout.flush()
    if not prediction["valid"]:
        errors_console().print(
            f"not a valid answer: {prediction['problem']}", markup=False, soft_wrap=True
        )
