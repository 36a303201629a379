"""`lexitrain doctor`: what would go wrong with a run before it begins; of a run, why it is slow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES
from lexitrain.cli.terminal.console import print_json
from lexitrain.errors import InputError


def doctor(
    slow: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Folder of a run that is slow. Without it: look before a run."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", metavar="R", help="A shipped recipe or a YAML file.  [default: fast]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder that `data prepare` wrote.")
    ] = None,
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="Where the run would be kept.  [default: runs/RECIPE]")
    ] = None,
    mirror: Annotated[
        Path | None, typer.Option("--mirror", metavar="DIR", help="Where the run would be copied to.")
    ] = None,
    no_profile: Annotated[
        bool, typer.Option("--no-profile", help="Of a slow run: read its journals, and compute nothing.")
    ] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:  # fmt: skip
    """Look for what would go wrong with a run, before it begins; or, of a RUN, why it is slow.

    Exit code 2: `train` would refuse it. A slow run is never refused.
    """
    if slow is None:
        if no_profile:
            raise InputError(
                "There is no run to profile.", where="--no-profile", fix="Name the run."
            )
        _before(recipe or "fast", data, overrides, custom_task, run, mirror, as_json=as_json)
        return
    given = {
        "--recipe": recipe, "--data": data, "--set": overrides, "--custom-task": custom_task, "--run": run,
        "--mirror": mirror,
    }  # fmt: skip
    for option, value in given.items():
        if value:
            fix = "Leave it out, or leave RUN out to look before another run."
            raise InputError(f"A run has its own {option.lstrip('-')}.", where=option, fix=fix)
    _why_slow(slow, profile=not no_profile, as_json=as_json)


def _before(
    recipe: str,
    data: Path | None,
    overrides: list[str] | None,
    custom_task: list[str] | None,
    run: Path | None,
    mirror: Path | None,
    *,
    as_json: bool,
) -> None:
    from lexitrain import preflight, recipe_with_tasks
    from lexitrain.cli.views.diagnosis.preflight import print_preflight
    from lexitrain.cli.views.diagnosis.stages import Stages

    loaded = recipe_with_tasks(recipe, overrides or (), custom_task or ())
    with Stages() as stages:
        found = preflight(
            loaded, data, run or Path("runs") / loaded.name, mirror=mirror, observer=stages
        )
    if as_json:
        print_json(found.to_json())
    else:
        print_preflight(found, with_data=data is not None)
    if found.refused:
        raise typer.Exit(InputError.exit_code)


def _why_slow(run: Path, *, profile: bool, as_json: bool) -> None:
    from lexitrain import slow_run
    from lexitrain.cli.views.diagnosis.slow_run import print_slow_run
    from lexitrain.cli.views.diagnosis.stages import Stages

    with Stages() as stages:
        found = slow_run(run, profile=profile, observer=stages)
    if as_json:
        print_json(found.to_json())
    else:
        print_slow_run(found)
