"""`lexitrain train`: start a run, or go on with it, by the same command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK, TRUST_TASKS
from lexitrain.cli.options.durations import duration, moment
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES
from lexitrain.cli.options.sessions import MIRROR, STOP_AFTER
from lexitrain.cli.options.trackers import TRACKER
from lexitrain.cli.terminal.console import errors_console, print_json
from lexitrain.errors import InputError, Stopped

if TYPE_CHECKING:
    from lexitrain import Recipe, TrainingResult


@dataclass(frozen=True, slots=True)
class _Resume:
    """How a run is gone on with: from which mirror, whether its code is trusted, which tasks the command names, and
    whether it is to stay alike."""

    mirror: Path | None
    trust_tasks: bool
    custom_tasks: tuple[str, ...]
    alike: bool


def train(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder that `data prepare` wrote.  [default: that of the run]",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="R",
            help="A shipped recipe or a YAML file.  [default: that of the run, else fast]",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="Folder of the run.  [default: runs/RECIPE]"),
    ] = None,
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    mirror: Annotated[Path | None, MIRROR] = None,
    tracker: Annotated[list[str] | None, TRACKER] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Move an existing run aside (DIR.old-1) and start anew."),
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes", help="Go on with another recipe, data or base than before."
        ),
    ] = False,
    trust_tasks: Annotated[bool, TRUST_TASKS] = False,
    stop_after_step: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Save and stop after step N; the schedule stays the whole run's."
        ),
    ] = None,
    stop_after: Annotated[str | None, STOP_AFTER] = None,
    stop_at: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT", help="Save and stop before, e.g. 22:00 or 2026-11-24T22:00."
        ),
    ] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Train an adapter. An interrupted run goes on when the same command is given again, or --run alone.

    Exit code 4 means: stopped, and resumable.
    """
    if stop_after_step is not None and stop_after_step < 1:
        raise InputError("The step to stop after is at least 1.", where="--stop-after-step")
    begin, now = monotonic(), datetime.now().astimezone()
    seconds = None if stop_after is None else duration(stop_after)
    end = None if stop_at is None else moment(stop_at, now)
    alike = not (fresh or accept_changes)
    resume = _Resume(mirror, trust_tasks, tuple(custom_task or ()), alike)
    loaded, folder = _recipe_and_folder(recipe, run, overrides or (), resume)
    from lexitrain import train as train_run
    from lexitrain.cli.views.training import TrainingProgress

    with TrainingProgress() as progress:
        result = train_run(
            loaded,
            data,
            folder,
            stop_after_step=stop_after_step,
            stop_after=None if seconds is None else seconds - (monotonic() - begin),
            stop_at=end,
            mirror=mirror,
            trackers=tracker,
            fresh=fresh,
            accept_changes=accept_changes,
            observer=progress,
        )
    if not result.first:
        raise typer.Exit(0 if result.state == "finished" else Stopped.exit_code)
    if as_json:
        print_json(result.to_json())
    elif result.state == "finished":
        from lexitrain.cli.views.training_result import print_result

        print_result(result)
    if result.state == "stopped":
        raise Stopped(_stopped_message(result), where=folder, fix=_how_to_go_on(result))


def _recipe_and_folder(
    named: str | None, run: Path | None, overrides: Sequence[str], resume: _Resume
) -> tuple[Recipe, Path]:
    """The recipe that the command names, else that of the run; and the run's folder.

    In place of a recipe file that is gone, as on a new machine, the run's own recipe is taken.
    """
    lost = named is not None and resume.alike and _is_lost_file(named)
    folder = run if named is None or run is not None else Path("runs") / Path(named).stem
    if folder is not None and (named is None or lost):
        from lexitrain import run_recipe  # torch with it: a mistake in a name is found before

        tasks = [f"data.custom_tasks={json.dumps(resume.custom_tasks)}"]
        own = run_recipe(
            folder,
            mirror=resume.mirror,
            overrides=[*overrides, *(tasks if resume.custom_tasks else ())],
            trust_tasks=resume.trust_tasks,
        )
        if own is not None:
            if lost:
                said = f"There is no {named}: taking the run's own recipe."
                errors_console().print(said, markup=False, soft_wrap=True)
            return own, folder
    from lexitrain import recipe_with_tasks

    loaded = recipe_with_tasks(named or "fast", overrides, resume.custom_tasks)
    return loaded, run or Path("runs") / loaded.name


def _is_lost_file(recipe: str) -> bool:
    """True for the path of a recipe file that is not there; a name that no recipe has is a mistake."""
    try:
        path = Path(recipe).expanduser()
    except RuntimeError:  # a user that does not exist: said where the recipe is read
        return False
    return (len(path.parts) > 1 or path.suffix in {".yaml", ".yml"}) and not path.is_file()


def _stopped_message(result: TrainingResult) -> str:
    stopped = [part for part in result.parts.values() if part.state == "stopped"] or [result]
    at = f"saved at step {stopped[0].step} of {stopped[0].total_steps}"
    loss = ""
    if stopped[0].validation_loss is not None and stopped[0].first_loss is not None:
        loss = (
            f" Validation loss {stopped[0].first_loss:.4f} before training, "
            f"{stopped[0].validation_loss:.4f} now."
        )
    why = {"stop_after_step": "as asked", "time_limit": "by the time limit"}.get(
        result.reason, f"by {result.reason}"
    )
    return f"Stopped {why}, {at}.{loss}"


def _how_to_go_on(result: TrainingResult) -> str:
    if result.reason == "stop_after_step":
        return "To go on: the same command with a larger --stop-after-step, or without it."
    return "To go on: run the same command again."
