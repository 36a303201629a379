"""`lexitrain demo`: the product from end to end on a CPU, without a network.

Generates tutor records, prepares them, trains the recipe `demo` on the embedded nano base, and scores the same held-out
records before and after. Everything is real and stays in one folder; every part is the command of the same name.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.terminal.console import errors_console, print_json
from lexitrain.cli.terminal.progress import shown_progress
from lexitrain.errors import InputError, Stopped

if TYPE_CHECKING:
    from lexitrain import EvaluationReport, Recipe, TrainingResult

RECORDS = 10_000
SCORED = 300
BEFORE = "before"  # name of the evaluation of the untrained base in the run folder


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder for everything that is made.")
    ] = Path("demo"),
    records: Annotated[
        int, typer.Option("--records", metavar="N", min=200, help="Records to generate.")
    ] = RECORDS,
    scored: Annotated[
        int,
        typer.Option(
            "--scored", metavar="N", min=10, help="Held-out records to score, before and after."
        ),
    ] = SCORED,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change a field of the recipe, e.g. lora.rank=8."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show it all at work, on a CPU, in minutes.

    Generates tutor records, prepares them, trains the embedded nano base, and scores it before and after.
    """
    from lexitrain import generate_file, load_recipe, prepare

    if folder.exists() and not folder.is_dir():
        raise InputError("This is a file, not a folder.", where=folder)
    recipe = load_recipe("demo", overrides or ())
    seconds: dict[str, float] = {}
    source, data, run = folder / "records.jsonl", folder / "data", folder / "run"
    with _timed(seconds, "generate", f"1/5 generate {records:,} tutor records"):
        generate_file(source, records, recipe.seed)
    with _timed(seconds, "prepare", "2/5 clean and split them"):
        prepare([str(source)], data, seed=recipe.seed, workers=0)
    with _timed(seconds, "before", "3/5 score the untrained base"):
        before = _evaluate(recipe.model.base, data, scored)
    with _timed(seconds, "train", "4/5 train the adapter"):
        result = _train(recipe, data, run)
    with _timed(seconds, "after", "5/5 score the trained adapter"):
        after = _evaluate(run, data, scored)
    before.save(run, name=BEFORE)
    after.save()
    if as_json:
        print_json(_document(folder, result, before, after, seconds))
        return
    from lexitrain.cli.views.demo import print_file_locations, print_scores

    print_scores(before, after)
    print_file_locations(folder, after, result, sum(seconds.values()))


@contextmanager
def _timed(seconds: dict[str, float], part: str, title: str) -> Generator[None]:
    from time import perf_counter

    errors_console().print(f"[bold]{title}[/]")
    start = perf_counter()
    yield
    seconds[part] = round(perf_counter() - start, 1)


def _train(recipe: Recipe, data: Path, run: Path) -> TrainingResult:
    from lexitrain import train
    from lexitrain.cli.views.training import TrainingProgress

    with TrainingProgress() as progress:
        result = train(recipe, data, run, observer=progress)
    if result.state == "stopped":
        raise Stopped(
            f"Stopped by {result.reason}, saved at step {result.step} of {result.total_steps}.",
            where=run,
            fix="To go on: run the same command again.",
        )
    return result


def _evaluate(model: str | Path, data: Path, limit: int) -> EvaluationReport:
    from lexitrain import evaluate

    with shown_progress() as progress:
        return evaluate(model, data, limit=limit, progress=progress)


def _document(
    folder: Path,
    result: TrainingResult,
    before: EvaluationReport,
    after: EvaluationReport,
    seconds: dict[str, float],
) -> dict[str, Any]:
    return {
        "dir": str(folder),
        "run": str(result.run),
        "adapter": str(result.adapter),
        "steps": result.step,
        "validation_loss": {"before": result.first_loss, "best": result.best_loss},
        "seconds": seconds,
        "before": before.evaluation.to_json(),
        "after": after.evaluation.to_json(),
    }
