"""`lexitrain report`: one page of a run, or of several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.terminal.console import console, print_json


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folder of a run; several: side by side.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; by default report.html in the run's folder, of several runs here.",
        ),
    ] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Write one HTML file of what a run's folder holds: losses, speed, scores, answers, export, events, recipe.

    It needs no network. What the run lacks is said on the page; several runs are put side by side on one page.
    """
    from lexitrain import write_run_page, write_runs_page

    if len(runs) == 1:
        page = write_run_page(runs[0], out)
    else:
        page = write_runs_page(runs, "report.html" if out is None else out)
    if as_json:
        print_json({"page": str(page), "bytes": page.stat().st_size})
    else:
        size = f"{page.stat().st_size / 1e6:.2f} MB"
        console().print(f"Saved to {page} ({size}).", markup=False, soft_wrap=True)
