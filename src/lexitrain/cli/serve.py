"""`lexitrain serve`: a GGUF file, or a run, behind an OpenAI-compatible address."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lexitrain.cli.terminal.console import errors_console
from lexitrain.errors import InputError

KEY_VARIABLE = "LEXITRAIN_API_KEY"


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A GGUF file, or a run: its newest export is taken, or one made.",
        ),
    ],
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="A GGUF adapter for the file (`export --to gguf-lora`); a request names it as its model. Repeatable.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help=f"Where to listen. Beyond this machine a key is needed, in the environment: {KEY_VARIABLE}.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535)] = 8080,
    quantize: Annotated[
        str, typer.Option(metavar="TYPE", help="Of the export that is made of a run.")
    ] = "Q8_0",
    slots: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Requests answered at once.")
    ] = 4,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="That compute; by default one a core.")
    ] = None,
) -> None:
    """Answer chat completions in OpenAI's form, by llama.cpp, until Ctrl-C.

    A request may name a task ("task": "grammar"): its grammar then holds the answer to valid JSON.
    """
    named: dict[str, str] = {}
    for each in adapter or ():
        name, mark, path = each.partition("=")
        path = path if mark else name
        name = name if mark else os.path.basename(path).removesuffix(".gguf")  # noqa: PTH119
        if name in named:
            raise InputError(f"Two adapters are called {name}.", where="--adapter")
        named[name] = path
    out = errors_console()
    from lexitrain import serve as serve_model

    serve_model(
        model,
        adapters=named,
        host=host,
        port=port,
        key=os.environ.get(KEY_VARIABLE, ""),
        quantize=quantize,
        slots=slots,
        threads=threads,
        tell=lambda sentence: out.print(sentence, markup=False, soft_wrap=True),
    )
