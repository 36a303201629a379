"""`lexitrain tune`: find better settings within a budget, or draw what a setting does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK
from lexitrain.cli.options.durations import hours as in_hours
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES, RECIPE
from lexitrain.cli.terminal.console import console, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def tune(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder that `data prepare` wrote.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder of the study; the same command goes on with it."),
    ],
    recipe: Annotated[str, RECIPE] = "fast",
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep", metavar="FIELD=V1,V2,…",
            help="Instead of the race: every value of this field. Several options multiply.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", min=1, help="Runs of each value of a sweep; 1."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", min=1, help="Most trials.")
    ] = None,
    hours: Annotated[
        str | None,
        typer.Option("--hours", metavar="H", help="Most hours of a machine: 4, 4h, 90m or 1h30m."),
    ] = None,
    money: Annotated[
        float | None, typer.Option("--money", metavar="$", help="Most dollars, at --price an hour.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", metavar="$", min=0, help="Dollars an hour.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL",
            help="Database of the study, for several machines: postgresql://…, mysql://….  [default: a file in --out]",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", metavar="NAME", help="Name in that database.  [default: that of --out]"),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="Processes on this machine.")
    ] = 1,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it: FILE.svg or FILE.png."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")
    ] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:  # fmt: skip
    """Find better settings by a race of training runs, or sweep a field and see what it does.

    Without --sweep: a race over learning rate, adapter scale and samples a step. The best recipe is written to
    OUT/best.yaml. Exit code 4 means: stopped, and resumable.
    """
    from lexitrain import check_picture
    from lexitrain import tune as tune_recipe
    from lexitrain.cli.views.tuning import TuningProgress, print_found

    most_hours = None if hours is None else in_hours(hours, "--hours")
    if plot is not None:
        check_picture(plot)
    with TuningProgress() as progress:
        found = tune_recipe(
            recipe,
            data,
            out,
            overrides=_with_tasks(recipe, overrides or (), custom_task or ()),
            sweep=sweep or (),
            seeds=seeds,
            trials=trials,
            hours=most_hours,
            money=money,
            price=price,
            storage=storage,
            study=study,
            workers=workers,
            dry_run=dry_run,
            observer=progress,
        )
    if plot is not None and not dry_run:
        from lexitrain import draw_tuning

        draw_tuning(found, plot)
    if as_json:
        print_json(found.to_json())
    elif not dry_run:
        print_found(found)
        if plot is not None:
            console().print(f"Plot: {plot}", markup=False, soft_wrap=True)


def _with_tasks(recipe: str, overrides: Sequence[str], custom: Sequence[str]) -> list[str]:
    """The overrides, with the user's own tasks as one more."""
    if not custom:
        return list(overrides)
    from lexitrain import recipe_with_tasks

    tasks = recipe_with_tasks(recipe, overrides, custom).data.custom_tasks
    return [*overrides, f"data.custom_tasks={json.dumps(list(tasks))}"]
