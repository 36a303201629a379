"""`lexitrain runs`: all runs of a folder, what became of them, and how to go on; verify and prune one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lexitrain.cli.console import console, errors_console, print_json
from lexitrain.errors import InputError, RunError

if TYPE_CHECKING:
    from lexitrain.runs.folder import Run
    from lexitrain.runs.listing import RunSummary


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
    from lexitrain.runs.listing import run_folders, summarize

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
        raise RunError(
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
    """The run at `path`. Raises RunError where there is none."""
    from lexitrain.runs.folder import Run

    run = Run(path)
    run.read_recipe()
    return run


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
