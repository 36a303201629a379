"""`lexitrain demo`: the product from end to end on a CPU, without a network.

Generates tutor records and gives them to `build`: prepares them, trains the recipe `demo` on the embedded nano base,
scores held-out records before and after, exports a file for phones, and lets that answer the same records. Everything
is real and stays in one folder; every part is the command of the same name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.build import shown_build
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES
from lexitrain.cli.terminal.console import console, errors_console, print_json
from lexitrain.errors import InputError, number_of

RECORDS = 10_000
SCORED = 1000


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder for everything that is made.")
    ] = Path("demo"),
    records: Annotated[
        int, typer.Option("--records", metavar="N", min=200, help="Records to generate.")
    ] = RECORDS,
    scored: Annotated[
        int,
        typer.Option(
            "--scored",
            metavar="N",
            min=10,
            help="Held-out records to score and to verify with; before training 300 at most.",
        ),
    ] = SCORED,
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Show it all at work, on a CPU, in minutes.

    Generates tutor records, prepares them, trains the embedded nano base, scores it before and after, and exports it
    for phones.
    """
    from time import perf_counter

    from lexitrain import Choices, generate_file, load_recipe
    from lexitrain import build as build_all

    if folder.exists() and not folder.is_dir():
        raise InputError("This is a file, not a folder.", where=folder)
    start = perf_counter()
    seed = load_recipe("demo", overrides or ()).seed
    source = folder / "records.jsonl"
    errors_console().print(f"[bold]generate {number_of(records, 'tutor record')}[/]")
    generate_file(source, records, seed)
    choices = Choices(
        records=(str(source),),
        folder=folder,
        recipe="demo",
        overrides=tuple(overrides or ()),
        limit=scored,
    )
    with shown_build() as observer:
        result = build_all(choices, observer)
    if as_json:
        print_json(result.to_json())
        return
    from lexitrain.cli.views.build import print_build
    from lexitrain.cli.views.demo import print_file_locations, print_scores
    from lexitrain.cli.views.exported import print_exported_file

    if result.comparison is None or result.exported is None:
        print_build(console(), result)  # done before
    else:
        print_scores(*result.comparison.reports)
        print_exported_file(result.exported)
    print_file_locations(result, perf_counter() - start)
