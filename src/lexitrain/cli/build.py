"""`lexitrain build`: from records to an exported model in one command, going on wherever it was stopped."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK
from lexitrain.cli.options.exports import MAX_MB, QUANTIZE, parts
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES, RECIPE
from lexitrain.cli.options.scored_records import MARGIN
from lexitrain.cli.options.sessions import MIRROR, STOP_AFTER
from lexitrain.cli.options.trackers import TRACKER
from lexitrain.cli.terminal.console import console, errors_console, print_json
from lexitrain.errors import LIMIT_NOT_MET

if TYPE_CHECKING:
    from lexitrain import Choices, Observer


def build(
    records: Annotated[
        list[str], typer.Argument(metavar="RECORDS…", help="Files or folders of records.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for everything that is made.")
    ],
    recipe: Annotated[str, RECIPE] = "fast",
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="H",
            help="Most hours of training (4, 4h, 90m, 1h30m): the recipe is then chosen among the shipped ones and "
            "yours.",
        ),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(metavar="GB", min=0.01, help="Most memory to use.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Device to plan for.  [default: the one at hand]"),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="FORM[,FORM…]", help="What to export to, as of `export`.")
    ] = "gguf",
    quantize: Annotated[str, QUANTIZE] = "Q4_K_M",
    max_mb: Annotated[float | None, MAX_MB] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Most held-out records to score and to verify with."),
    ] = None,
    margin: Annotated[float, MARGIN] = 0.05,
    stop_after: Annotated[str | None, STOP_AFTER] = None,
    mirror: Annotated[Path | None, MIRROR] = None,
    tracker: Annotated[list[str] | None, TRACKER] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Prepare, plan, train, evaluate, compare with the base, export and verify, in one folder.

    The same command goes on where it was stopped, whatever stopped it; a stage whose inputs have not changed is not
    done again. Exit code 3: a limit is not kept, or the file misses what was asked of it. 4: stopped, resumable.
    """
    from lexitrain import Choices
    from lexitrain.cli.options.durations import duration, hours

    choices = Choices(
        records=tuple(records),
        folder=out,
        recipe=recipe,
        overrides=tuple(overrides or ()),
        hours=None if within is None else hours(within),
        memory_gb=memory,
        gpu=gpu,
        to=parts(to),
        quantize=parts(quantize),
        max_mb=max_mb,
        limit=limit,
        margin=margin,
        stop_after=None if stop_after is None else duration(stop_after),
        mirror=mirror,
        trackers=None if tracker is None else tuple(tracker),
        custom_tasks=tuple(custom_task or ()),
    )
    if dry_run:
        _show_outlook(choices, as_json=as_json)
        return
    from lexitrain import build as build_all

    with shown_build() as observer:
        result = build_all(choices, observer)
    if as_json:
        print_json(result.to_json())
    else:
        from lexitrain.cli.views.build import print_build

        print_build(console(), result)
    if result.missed:
        raise typer.Exit(LIMIT_NOT_MET)


def _show_outlook(choices: Choices, *, as_json: bool) -> None:
    from lexitrain import outlook

    found = outlook(choices)
    if as_json:
        print_json(found.to_json())
        return
    from lexitrain.cli.views.build import print_outlook

    print_outlook(console(), found)


@contextmanager
def shown_build() -> Generator[ShownBuild]:
    """Shows a build while it goes."""
    shown = ShownBuild()
    try:
        yield shown
    finally:
        shown.end()


class ShownBuild:
    """Tells what a build tells: a line a stage, and each stage's own progress."""

    def __init__(self) -> None:
        self._out = errors_console()
        self._progress: Any = None
        self._show: Any = None
        self._training: Any = None

    def begins(self, stage: str, number: int, count: int) -> None:
        """A stage begins."""
        self.end()
        self._out.print(f"[bold]{number}/{count} {stage}[/]")

    def skipped(self, stage: str, number: int, count: int) -> None:
        """A stage is done already."""
        self.end()
        self._out.print(f"[dim]{number}/{count} {stage}: done already[/]")

    def says(self, sentence: str) -> None:
        """Something to know."""
        self.end()
        self._out.print(sentence, markup=False, soft_wrap=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """How much of a stage is done."""
        if self._progress is None:
            from lexitrain.cli.terminal.progress import shown_progress

            self._progress = shown_progress()
            self._show = self._progress.__enter__()
        self._show(what, done, total)

    def training(self) -> Observer | None:
        """Shows the steps."""
        from lexitrain.cli.views.training import TrainingProgress

        self.end()
        self._training = TrainingProgress()
        return self._training.__enter__()

    def end(self) -> None:
        """No more of what is being shown."""
        for shown in (self._progress, self._training):
            if shown is not None:
                shown.__exit__(None, None, None)
        self._progress = self._show = self._training = None
