"""`lexitrain runs`: all runs of a folder, what became of them, and how to go on; verify and prune one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lexitrain.cli.console import console, errors_console, print_json
from lexitrain.errors import InputError

if TYPE_CHECKING:
    from lexitrain.runs.folder import Event, Run

#: Events that a run's state follows from; others may come at any time.
_TURNS = {"started", "resumed", "stopped", "finished"}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the table.

    Attributes:
        path: the run's folder.
        recipe: name of its recipe.
        state: finished, running, stopped (by its own will, resumable), interrupted (by a crash or kill, resumable) or
            broken (cannot be read).
        step, total_steps: optimizer steps done and planned.
        loss: last logged training loss, nats a supervised token.
        best_validation_loss: the lowest one measured.
        checkpoint_step: of the newest checkpoint.
        checkpoint_age_seconds: since it was written.
        next: the command to give next, or why there is none.
    """

    path: str
    recipe: str | None
    state: str
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    best_validation_loss: float | None = None
    checkpoint_step: int | None = None
    checkpoint_age_seconds: float | None = None
    next: str = ""


class _Runs(TyperGroup):
    """`lexitrain runs DIR` means `lexitrain runs list DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "--help"}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="runs",
    cls=_Runs,
    help="List runs (`lexitrain runs [DIR]`), verify or prune one.",
    add_completion=False,
    rich_markup_mode=None,
)

_AS_JSON = typer.Option("--json", help="Print one JSON document.")


@app.command("list")
def list_runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that holds runs, or one run.")
    ] = Path("runs"),
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """List runs: state, step, losses, age of the last checkpoint, and how to go on."""
    if not folder.is_dir():
        raise InputError("There is no such folder.", where=folder, fix="Give the folder of runs.")
    found = [summarize(path) for path in run_folders(folder)]
    if as_json:
        print_json([asdict(each) for each in found])
    elif found:
        _print_table(found, folder)
    else:
        errors_console().print(f"There are no runs in {folder}.", soft_wrap=True)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Read every checkpoint of a run and compare it with its hashes. Exit code 2: something is broken."""
    from lexitrain.training.recovery.checkpoints import (
        BrokenCheckpoint,
        Checkpoints,
        read_checkpoint,
    )

    opened = _open(run)
    checkpoints = Checkpoints(opened.checkpoints, keep=1)
    reasons: dict[str, str | None] = {}
    for path in [*reversed(checkpoints.steps()), *checkpoints.bests()]:
        try:
            read_checkpoint(path)
            reasons[path.name] = None
        except BrokenCheckpoint as error:
            reasons[path.name] = str(error)
    broken = {name: reason for name, reason in reasons.items() if reason is not None}
    if as_json:
        print_json({"run": str(run), "intact": sorted(reasons.keys() - broken), "broken": broken})
    else:
        for name, reason in reasons.items():
            console().print(f"{name}: {reason or 'intact'}", markup=False, soft_wrap=True)
    if broken:
        raise InputError(
            f"Broken: {', '.join(broken)}.",
            where=run,
            fix="Training goes on from the newest intact one by itself; `lexitrain runs prune` deletes broken ones.",
        )
    if not reasons and not as_json:
        console().print("There is no checkpoint yet.")


@app.command()
def prune(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    keep: Annotated[int, typer.Option("--keep", min=1, help="Newest intact checkpoints to keep.")],
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Delete all but the newest intact checkpoints and the best adapter. A run that trains is refused."""
    from lexitrain.training.recovery.checkpoints import Checkpoints

    opened = _open(run)
    with opened.lock():
        checkpoints = Checkpoints(opened.checkpoints, keep)
        before = checkpoints.size()
        gone = [path.name for path in checkpoints.prune()]
        freed = before - checkpoints.size()
        left = [path.name for path in (*reversed(checkpoints.steps()), *checkpoints.bests())]
    if as_json:
        print_json({"run": str(run), "deleted": gone, "kept": left, "freed_bytes": freed})
        return
    out = console()
    out.print(f"deleted: {', '.join(gone) or 'nothing'}", markup=False, soft_wrap=True)
    out.print(f"kept: {', '.join(left) or 'nothing'}; freed {freed / 1e6:.1f} MB", markup=False)


def _open(path: Path) -> Run:
    """The run at `path`. Raises InputError where there is none."""
    from lexitrain.runs.folder import Run

    run = Run(path)
    run.read_recipe()
    return run


def run_folders(folder: Path) -> list[Path]:
    """The folder itself and those at most two levels below it that hold a run, by name."""
    candidates = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    return sorted({path for path in candidates if (path / "recipe.yaml").is_file()})


def summarize(path: Path) -> RunSummary:
    """What became of one run."""
    from lexitrain.runs.folder import Run

    run = Run(path)
    try:
        return _summarize(run)
    except InputError as error:
        return RunSummary(str(path), None, "broken", next=str(error))


def _summarize(run: Run) -> RunSummary:
    import time

    recipe, events, metrics = run.read_recipe(), run.events(), run.metrics()
    steps = run.checkpoint_steps()
    losses = [line.validation_loss for line in metrics if line.validation_loss is not None]
    totals = [each.details["total_steps"] for each in events if "total_steps" in each.details]
    state = _state(run, events)
    age = None
    if steps:
        age = time.time() - (run.checkpoint(steps[-1]) / "MANIFEST.json").stat().st_mtime
    return RunSummary(
        path=str(run.path),
        recipe=recipe.name,
        state=state,
        step=max(
            [*steps, *(line.step for line in metrics), *(each.step for each in events)], default=0
        ),
        total_steps=totals[-1] if totals else None,
        loss=metrics[-1].loss if metrics else None,
        best_validation_loss=min(losses, default=None),
        checkpoint_step=steps[-1] if steps else None,
        checkpoint_age_seconds=None if age is None else round(age, 1),
        next=_next(run, state, events),
    )


def _state(run: Run, events: list[Event]) -> str:
    if run.is_locked():
        return "running"
    turns = [each.event for each in events if each.event in _TURNS]
    return turns[-1] if turns and turns[-1] in {"finished", "stopped"} else "interrupted"


def _next(run: Run, state: str, events: list[Event]) -> str:
    if state == "finished":
        return f"adapter in {run.adapter}"
    if state == "running":
        return "wait for it"
    folders = [each.details.get("data") for each in events if each.event == "started"]
    data = folders[0] if folders else "DIR"
    return f"lexitrain train --recipe {run.recipe_file} --data {data} --run {run.path}"


def _print_table(found: list[RunSummary], folder: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "recipe", "state", "step", "loss", "best validation", "last saved"):
        table.add_column(heading, no_wrap=heading != "run", overflow="fold")
    colours = {"finished": "green", "broken": "red", "running": "cyan"}
    for each in found:
        colour = colours.get(each.state, "yellow")
        table.add_row(
            escape(_short(each.path, folder)),
            escape(each.recipe or "–"),
            f"[{colour}]{each.state}[/]",
            f"{each.step}/{each.total_steps or '?'}",
            _number(each.loss),
            _number(each.best_validation_loss),
            _ago(each),
        )
    out = console()
    out.print(table)
    for each in found:
        if each.state in {"stopped", "interrupted", "broken"}:
            out.print(escape(f"\n{_short(each.path, folder)}:\n  {each.next}"), soft_wrap=True)


def _short(path: str, folder: Path) -> str:
    """The run's path below the folder that is listed."""
    return str(Path(path).relative_to(folder)) if Path(path) != folder else folder.name or path


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _ago(summary: RunSummary) -> str:
    age = summary.checkpoint_age_seconds
    if age is None:
        return "never"
    if age < 90:
        told = f"{age:.0f} s"
    elif age < 5400:
        told = f"{age / 60:.0f} min"
    elif age < 48 * 3600:
        told = f"{age / 3600:.0f} h"
    else:
        told = f"{age / 86400:.0f} days"
    return f"step {summary.checkpoint_step}, {told} ago"
