"""`lexitrain watch`: how a run stands that trains in another process, another cell, or on another machine."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.terminal.console import console, print_json


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Between two looks.")
    ] = 2.0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: one document, or without --once a line a change."),
    ] = False,
) -> None:
    """Show how a run stands while it trains, by its files alone, until it ends.

    It takes no lock and writes nothing, so it may run anywhere where the folder is mounted, a mirror's too.
    """
    from lexitrain import live_run

    live = live_run(run)
    if as_json and once:
        print_json(live.to_json())
    elif as_json:
        shown = None
        while True:
            if live.to_json() != shown:
                shown = live.to_json()
                sys.stdout.write(json.dumps(shown, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            if live.ended:
                return
            time.sleep(every)
            live = live_run(run)
    else:
        from lexitrain.cli.views.watched import Watched

        with Watched(console(), run) as shown_run:
            shown_run.show(live)
            while not (once or live.ended):
                time.sleep(every)
                live = live_run(run)
                shown_run.show(live)
