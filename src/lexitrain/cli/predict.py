"""`lexitrain predict`: a model's answer to one text, or to each line of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from lexitrain.cli.console import errors_console, print_json
from lexitrain.cli.options.custom_tasks import CUSTOM_TASK
from lexitrain.errors import InputError

if TYPE_CHECKING:
    from lexitrain import Prediction

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
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document with task, input, answer, valid."),
    ] = False,
) -> None:
    """Print the model's answer to one text, or one a line of standard input."""
    if text is not None and not text.strip():
        raise InputError("The text is empty.", where="TEXT")
    from lexitrain import Answerer

    answerer = Answerer(model, task, custom_tasks=custom_task or ())
    predictions: list[Prediction] = []
    for texts in [[text]] if text is not None else _chunks():
        for prediction in answerer.answer(texts):
            predictions.append(prediction)
            if not as_json:
                _print(prediction)
    if as_json:
        documents = [each.to_json() for each in predictions]
        print_json(documents[0] if text is not None else documents)


def _chunks() -> Iterator[list[str]]:
    """Lines of standard input that hold something: one by one from a terminal, many from a pipe."""
    lines = (line.strip() for line in sys.stdin)
    filled = (line for line in lines if line)
    while chunk := list(islice(filled, 1 if sys.stdin.isatty() else _LINES)):
        yield chunk


def _print(prediction: Prediction) -> None:
    sys.stdout.write(prediction.text.replace("\n", " ") + "\n")
    sys.stdout.flush()
    if not prediction.valid:
        errors_console().print(
            f"not a valid answer: {prediction.problem}", markup=False, soft_wrap=True
        )
