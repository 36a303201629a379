"""`lexitrain predict`: a model's answer to one text, to each line of standard input, or to conversations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK, TRUST_TASKS
from lexitrain.cli.options.decoding import JSON_SCHEMA, SAMPLES, SEED, TEMPERATURE
from lexitrain.cli.terminal.console import errors_console, print_json, printable
from lexitrain.errors import DataError, InputError, number_of

if TYPE_CHECKING:
    from lexitrain import Answerer, AskedConversations, Prediction

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
    json_schema: Annotated[bool, JSON_SCHEMA] = False,
    temperature: Annotated[float, TEMPERATURE] = 0.0,
    samples: Annotated[int, SAMPLES] = 1,
    seed: Annotated[int, SEED] = 0,
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
    from lexitrain import Answerer, Decoding, read_conversations

    decoding = Decoding(temperature, samples, seed, json_schema)
    conversations = None if messages is None else read_conversations(messages)
    answerer = Answerer(
        model,
        task,
        system=system,
        decoding=decoding,
        custom_tasks=custom_task or (),
        trust_tasks=trust_tasks,
    )
    for name in answerer.unfinished:
        _say(f"not finished: {name} is used")
    single = samples == 1 and (text is not None if conversations is None else conversations.single)
    if text is None and conversations is None and sys.stdin.isatty():
        _say("One text a line; Ctrl+D ends.")
    predictions: list[Prediction] = []
    for prediction in _answers(answerer, text, conversations):
        predictions.append(prediction)
        if not as_json:
            _print(prediction, whole=single)
    if as_json:
        documents = [each.to_json() for each in predictions]
        print_json(documents[0] if single else documents)
    elif not predictions:
        _say("Nothing was asked: standard input holds no text.")
    if conversations is None and system is None and any(map(_is_free_text, predictions)):
        _say(
            "Where the model was trained on conversations, ask with --messages FILE or --system TEXT."
        )
    _end(predictions, single)


def _is_free_text(prediction: Prediction) -> bool:
    """Whether an answer is invalid because it was not even meant as JSON."""
    return not prediction.valid and not prediction.text.lstrip().startswith(("{", "["))


def _say(text: str) -> None:
    errors_console().print(text, markup=False, soft_wrap=True)


def _answers(
    answerer: Answerer, text: str | None, conversations: AskedConversations | None
) -> Iterator[Prediction]:
    if conversations is not None:
        yield from answerer.answer_conversations(conversations.turns, places=conversations.places)
    elif text is not None:
        yield from answerer.answer([text], places=["TEXT"])
    else:
        for chunk in _chunks(_lines()):
            places = [f"standard input:{number}" for number, _ in chunk]
            yield from answerer.answer([line for _, line in chunk], places=places)


def _lines() -> Iterator[tuple[int, str]]:
    """Lines of standard input that hold something, with their numbers."""
    try:
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                yield number, line
    except UnicodeDecodeError as error:
        raise DataError(
            f"It is not UTF-8 ({error.reason}).",
            where="standard input",
            fix="Convert it: iconv -f LATIN1 -t UTF-8.",
        ) from None


def _chunks(lines: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """One by one from a terminal, many from a pipe."""
    while chunk := list(islice(lines, 1 if sys.stdin.isatty() else _LINES)):
        yield chunk


def _print(prediction: Prediction, *, whole: bool) -> None:
    """The answer in one line; a single answer in free text as it stands."""
    free = whole and prediction.answer is None
    text = prediction.text if free and prediction.messages else prediction.text.replace("\n", " ")
    sys.stdout.write((printable(text) if sys.stdout.isatty() else text) + "\n")
    sys.stdout.flush()
    if prediction.shortened:
        _say("the text is longer than a sample of training may be: its end was not read")
    if not prediction.valid:
        _say(f"not a valid answer: {prediction.problem}")


def _end(predictions: list[Prediction], single: bool) -> None:
    """Exit code 2 where an answer is not valid."""
    invalid = sum(not each.valid for each in predictions)
    if not invalid:
        return
    if not single:
        errors_console().print(
            f"{invalid:,} of {number_of(len(predictions), 'answer is', 'answers are')} not valid"
        )
    raise typer.Exit(InputError.exit_code)
