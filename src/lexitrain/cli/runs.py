"""`lexitrain runs`: all runs of a folder, what became of them, and how to go on; verify and prune one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.terminal.console import console, errors_console, print_json
from lexitrain.errors import InputError, RunError, nearest


class _Runs(TyperGroup):
    """`lexitrain runs DIR` means `lexitrain runs list DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "--help"}:
            _require_folder(args, self.commands)
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _require_folder(args: list[str], commands: Iterable[str]) -> None:
    """Refuse a word that is neither a command nor a folder: `runs compare` does not mean a folder `compare`."""
    word = args[0] if args else "."
    if word.startswith(("-", "~")) or Path(word).exists() or len(Path(word).parts) > 1:
        return
    close = nearest(word, (name for name in commands if name[0] == word[0]))
    raise InputError(
        f"`lexitrain runs` has no command '{word}', and there is no folder of this name.",
        fix=(f"Did you mean `lexitrain runs {close}`? " if close else "")
        + f"Commands: {', '.join(commands)}; or give the folder that holds the runs.",
    )


app = typer.Typer(
    name="runs",
    cls=_Runs,
    help="List runs (`lexitrain runs [DIR]`), verify or prune one.",
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that holds runs, or one run.")
    ] = Path("runs"),
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """List runs: state, step, losses, age of the last checkpoint, and how to go on."""
    from lexitrain import list_runs as runs_in

    found = runs_in(folder)
    if as_json:
        print_json([asdict(each) for each in found])
    elif found:
        from lexitrain.cli.views.runs import print_runs

        print_runs(found, folder)
    else:
        errors_console().print(f"There are no runs in {folder}.", soft_wrap=True)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Read every checkpoint of a run and compare it with its hashes. Exit code 2: something is broken."""
    from lexitrain import verify_run

    reasons = verify_run(run)
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
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=1, help="Newest intact checkpoints to keep.")
    ],
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Delete all but the newest intact checkpoints and the best adapter. A run that trains is refused."""
    from lexitrain import prune_run

    pruned = prune_run(run, keep)
    if as_json:
        print_json({"run": str(run), **asdict(pruned)})
        return
    out = console()
    deleted, kept = (", ".join(names) or "nothing" for names in (pruned.deleted, pruned.kept))
    out.print(f"deleted: {deleted}", markup=False, soft_wrap=True)
    out.print(f"kept: {kept}; freed {pruned.freed_bytes / 1e6:.1f} MB", markup=False)
