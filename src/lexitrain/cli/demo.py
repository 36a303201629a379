"""`lexitrain demo`: the product from end to end on a CPU, without a network.

Generates tutor records, prepares them, trains the recipe `demo` on the embedded nano base, scores held-out records
before and after, exports a file for phones, and lets that answer the same records. Everything is real and stays in one
folder; every part is the command of the same name.
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
    from lexitrain import EvaluationReport, ExportReport, Recipe, TrainingResult

RECORDS = 10_000
SCORED = 1000
SCORED_BEFORE = 300  # a base that was never trained answers at length
QUANTIZATION = "Q4_K_M"
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
            "--scored",
            metavar="N",
            min=10,
            help=f"Held-out records to score and to verify with; before training {SCORED_BEFORE} at most.",
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

    Generates tutor records, prepares them, trains the embedded nano base, scores it before and after, and exports it
    for phones.
    """
    from lexitrain import generate_file, load_recipe, prepare

    if folder.exists() and not folder.is_dir():
        raise InputError("This is a file, not a folder.", where=folder)
    recipe = load_recipe("demo", overrides or ())
    seconds: dict[str, float] = {}
    source, data, run = folder / "records.jsonl", folder / "data", folder / "run"
    with _timed(seconds, "generate", f"1/6 generate {records:,} tutor records"):
        generate_file(source, records, recipe.seed)
    with _timed(seconds, "prepare", "2/6 clean and split them"):
        prepare([str(source)], data, seed=recipe.seed, workers=0)
    with _timed(seconds, "before", "3/6 score the untrained base"):
        before = _evaluate(recipe.model.base, data, min(scored, SCORED_BEFORE))
    with _timed(seconds, "train", "4/6 train the adapter"):
        result = _train(recipe, data, run)
    with _timed(seconds, "after", "5/6 score the trained adapter"):
        after = _evaluate(run, data, scored)
    before.save(run, name=BEFORE)
    after.save()
    with _timed(
        seconds, "export", "6/6 export a file for phones, and let it answer the same records"
    ):
        exported = _export(run, data, scored, after)
    if as_json:
        print_json(_document(folder, result, before, after, exported, seconds))
        return
    from lexitrain.cli.views.demo import print_file_locations, print_scores
    from lexitrain.cli.views.exported import print_exported_file

    print_scores(before, after)
    print_exported_file(exported)
    print_file_locations(folder, after, exported, result, sum(seconds.values()))


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


def _export(run: Path, data: Path, limit: int, reference: EvaluationReport) -> ExportReport:
    from lexitrain import export

    with shown_progress() as progress:
        return export(
            run,
            quantize=[QUANTIZATION],
            verify=data,
            limit=limit,
            reference=reference,
            progress=progress,
        )


def _document(
    folder: Path,
    result: TrainingResult,
    before: EvaluationReport,
    after: EvaluationReport,
    exported: ExportReport,
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
        "export": exported.to_json(),
    }
