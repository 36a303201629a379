"""`lexitrain predict`: a model's answer to one text, to each line of standard input, or to conversations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.console import errors_console, print_json
from lexitrain.cli.evaluate import CUSTOM_TASK, TRUST_TASKS
from lexitrain.errors import DataError, InputError

if TYPE_CHECKING:
    from lexitrain import Prediction

_LINES = 32  # lines of a pipe, or conversations, that are answered together


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
    messages: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Answer conversations: a JSON list of turns, or JSONL with one a line; - is standard input.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="System turn of conversations without one, instead of the recipe's data.system; none leaves it out. "
            "TEXT then is the user's turn as it stands.",
        ),
    ] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    trust_tasks: Annotated[bool, TRUST_TASKS] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document with task, input, answer, valid."),
    ] = False,
) -> None:
    """Print the model's answer to one text, to each line of standard input, or to conversations.

    Exit code 2: an answer is not valid; every answer is printed all the same.
    """
    if text is not None and messages is not None:
        raise InputError("Give TEXT or --messages, not both.", where="--messages")
    if text is not None and not text.strip():
        raise InputError("The text is empty.", where="TEXT")
    from lexitrain import Answerer, read_conversations

    conversations, single = ([], text is not None)
    if messages is not None:
        conversations, single = read_conversations(messages)
    answerer = Answerer(
        model, task, system=system, custom_tasks=custom_task or (), trust_tasks=trust_tasks
    )
    for name in answerer.unfinished:
        errors_console().print(f"not finished: {name} is used", markup=False, soft_wrap=True)
    asked: Iterator[list[Any]] = iter([[text]]) if text is not None else _chunks(_lines())
    answer: Callable[[Any], list[Prediction]] = answerer.answer
    if messages is not None:
        asked, answer = _chunks(iter(conversations)), answerer.answer_conversations
    predictions: list[Prediction] = []
    for chunk in asked:
        for prediction in answer(chunk):
            predictions.append(prediction)
            if not as_json:
                _print(prediction, whole=single)
    if as_json:
        documents = [each.to_json() for each in predictions]
        print_json(documents[0] if single else documents)
    _end(predictions, single)


def _lines() -> Iterator[str]:
    """Lines of standard input that hold something."""
    try:
        for line in sys.stdin:
            if line.strip():
                yield line
    except UnicodeDecodeError as error:
        raise DataError(
            f"It is not UTF-8 ({error.reason}).",
            where="standard input",
            fix="Convert it: iconv -f LATIN1 -t UTF-8.",
        ) from None


def _chunks(asked: Iterator[Any]) -> Iterator[list[Any]]:
    """One by one from a terminal, else many together."""
    while chunk := list(islice(asked, 1 if sys.stdin.isatty() else _LINES)):
        yield chunk


def _print(prediction: Prediction, *, whole: bool) -> None:
    """The answer in one line; a single answer in free text as it stands."""
    free = whole and prediction.answer is None
    text = prediction.text if free and prediction.messages else prediction.text.replace("\n", " ")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if not prediction.valid:
        errors_console().print(
            f"not a valid answer: {prediction.problem}", markup=False, soft_wrap=True
        )


def _end(predictions: list[Prediction], single: bool) -> None:
    """Exit code 2 where an answer is not valid."""
    invalid = sum(not each.valid for each in predictions)
    if not invalid:
        return
    if not single:
        errors_console().print(f"{invalid:,} of {len(predictions):,} answers are not valid")
    raise typer.Exit(InputError.exit_code)
