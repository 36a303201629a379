"""`lexitrain compare`: models on the same records, each against the first one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK, TRUST_TASKS
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.scored_records import (
    BATCH_SIZE,
    DATA,
    GROUP,
    LIMIT,
    MARGIN,
    TASK,
    existing,
)
from lexitrain.cli.terminal.console import console, errors_console, print_json
from lexitrain.cli.terminal.progress import shown_progress


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL MODEL…",
            help="Runs, adapters, bases, merged models, nano, Hub ids, addresses; the first is the reference.",
        ),
    ],
    data: Annotated[Path, DATA],
    margin: Annotated[float, MARGIN] = 0.05,
    task: Annotated[str | None, TASK] = None,
    limit: Annotated[int | None, LIMIT] = None,
    batch_size: Annotated[int, BATCH_SIZE] = 64,
    group: Annotated[str | None, GROUP] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for comparison.html, comparison.json and all answers; where it is interrupted it goes on.",
        ),
    ] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    trust_tasks: Annotated[bool, TRUST_TASKS] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Tell how models differ on the same records: quality with intervals, time, memory, size.

    Says of each task whether the other model is better or worse, and whether it is no worse by the margin: shown,
    refuted, or not enough evidence, with the number of records that it would take.
    """
    data = existing(data)
    with shown_progress() as progress:
        progress("loading", 0, 0)
        from lexitrain import compare as compare_models

        comparison = compare_models(
            models,
            data,
            margin=margin,
            task=task,
            limit=limit,
            batch_size=batch_size,
            group=group,
            out=out,
            custom_tasks=custom_task or (),
            trust_tasks=trust_tasks,
            progress=progress,
        )
    for report in comparison.reports:
        for name in report.model.unfinished:
            errors_console().print(f"not finished: {name} is used", markup=False, soft_wrap=True)
    if as_json:
        print_json(comparison.to_json())
    else:
        from lexitrain.cli.views.comparison import print_comparison

        print_comparison(console(), comparison)
    if out is None:
        return
    from lexitrain import write_comparison_page

    comparison.save(out)
    page = write_comparison_page(comparison, out / "comparison.html")
    if not as_json:
        console().print(
            f"Saved to {page}, the same as JSON and all answers beside it.",
            markup=False,
            soft_wrap=True,
        )
