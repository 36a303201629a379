"""`lexitrain demo`: the product from end to end on a CPU, without a network.

Generates tutor records, prepares them, trains the recipe `demo` on the embedded nano base, and scores the same held-out
records before and after. Everything is real and stays in one folder; every part is the command of the same name.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.console import console, errors_console, print_json
from lexitrain.cli.progress import shown_progress
from lexitrain.errors import InputError

if TYPE_CHECKING:
    from lexitrain.evaluation import Evaluation, HeldOut, Subject
    from lexitrain.runs.folder import Run
    from lexitrain.tasks.metrics.scores import Score
    from lexitrain.training import TrainingResult

RECORDS = 10_000
SCORED = 300
BEFORE = "before"  # name of the evaluation of the untrained base in the run folder


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder for everything that is made.")
    ] = Path("demo"),
    records: Annotated[
        int, typer.Option("--records", min=200, help="Records to generate.")
    ] = RECORDS,
    scored: Annotated[
        int, typer.Option("--scored", min=10, help="Held-out records to score, before and after.")
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
    from lexitrain.recipe.yaml_file import load_recipe
    from lexitrain.runs.folder import Run

    if folder.exists() and not folder.is_dir():
        raise InputError("This is a file, not a folder.", where=folder)
    recipe = load_recipe("demo", overrides or ())
    seconds: dict[str, float] = {}
    source, data, run = folder / "records.jsonl", folder / "data", Run(folder / "run")
    with _timed(seconds, "generate", f"1/5 generate {records:,} tutor records"):
        _generate(records, recipe.seed, source)
    with _timed(seconds, "prepare", "2/5 clean and split them"):
        _prepare(source, data, recipe.seed)
    with _timed(seconds, "before", "3/5 score the untrained base"):
        untrained, held_out, before = _evaluate(recipe.model.base, data, scored)
    with _timed(seconds, "train", "4/5 train the adapter"):
        result = _train(recipe, data, run)
    with _timed(seconds, "after", "5/5 score the trained adapter"):
        trained, _, after = _evaluate(str(run.path), data, scored)
    _save(run, untrained, replace(held_out, name=BEFORE), before)
    _save(run, trained, held_out, after)
    if as_json:
        print_json(_document(folder, result, before, after, seconds))
        return
    _print_table(before, after)
    _print_places(folder, run, held_out, result, sum(seconds.values()))


@contextmanager
def _timed(seconds: dict[str, float], part: str, title: str) -> Generator[None]:
    from time import perf_counter

    errors_console().print(f"[bold]{title}[/]")
    start = perf_counter()
    yield
    seconds[part] = round(perf_counter() - start, 1)


def _generate(count: int, seed: int, out: Path) -> None:
    from lexitrain.storage.atomic import file_at_once
    from lexitrain.synthetic import generate

    with file_at_once(out) as file:
        for record in generate(count, seed):
            file.write((record.to_json() + "\n").encode())


def _prepare(source: Path, out: Path, seed: int) -> None:
    from lexitrain.preparation.pipeline import prepare
    from lexitrain.preparation.scan import Rules
    from lexitrain.tasks import aliases, registry

    tasks = registry()
    rules = Rules(
        aliases(tasks),
        lambda record: tasks[record.task].check(record),
        asked=lambda record: tasks[record.task].asked(record),
    )
    prepare([str(source)], out, rules, seed=seed, workers=0)


def _train(recipe: Any, data: Path, run: Run) -> TrainingResult:
    from lexitrain.cli.views.training import TrainingProgress
    from lexitrain.errors import Stopped
    from lexitrain.training import train

    with TrainingProgress() as progress:
        result = train(recipe, data, run.path, observer=progress)
    if result.state == "stopped":
        raise Stopped(
            f"Stopped by {result.reason}, saved at step {result.step} of {result.total_steps}.",
            where=run.path,
            fix="To go on: run the same command again.",
        )
    return result


def _evaluate(model: str, data: Path, limit: int) -> tuple[Subject, HeldOut, Evaluation]:
    from lexitrain import evaluation as evaluating
    from lexitrain.tasks import registry

    tasks = registry()
    with shown_progress() as progress:
        subject = evaluating.locate(model)
        held_out = evaluating.read_held_out(data, tasks, limit=limit)
        loaded = evaluating.load(subject)
        scores = evaluating.evaluate(
            loaded.model,
            loaded.tokenizer,
            held_out.records,
            tasks,
            train_records=held_out.train,
            max_length=subject.max_length,
            select=loaded.select,
            progress=progress,
        )
    return subject, held_out, scores


def _save(run: Run, subject: Subject, data: HeldOut, scores: Evaluation) -> None:
    from lexitrain.evaluation import document, save

    save(run, data, document(subject, data, scores), scores)


def _document(
    folder: Path,
    result: TrainingResult,
    before: Evaluation,
    after: Evaluation,
    seconds: dict[str, float],
) -> dict[str, Any]:
    return {
        "dir": str(folder),
        "run": str(result.run),
        "adapter": str(result.adapter),
        "steps": result.step,
        "validation_loss": {"before": result.first_loss, "best": result.best_loss},
        "seconds": seconds,
        "before": before.to_json(),
        "after": after.to_json(),
    }


def _print_table(before: Evaluation, after: Evaluation) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "score"):
        table.add_column(heading, no_wrap=True)
    for heading in ("trivial", "before", "after", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in after.tasks.values():
        first = before.tasks[task.task]
        n = str(task.validity.n)
        table.add_row(task.task, "JSON validity", "", *_values(first.validity, task.validity), n)
        for name, score in task.scores.items():
            trivial = task.trivial.get(name)
            table.add_row(
                "",
                name.replace("_", " "),
                "–" if trivial is None else f"{trivial.value:.3f}",
                *_values(first.scores[name], score),
            )
    out = console()
    out.print()
    out.print(table)
    out.print(
        f"\nJSON validity over all tasks: {before.validity:.3f} before, {after.validity:.3f} after. Scored on records "
        "that training never saw. Trivial: most frequent level, mean score, unchanged sentence, most frequent reply."
    )


def _values(before: Score, after: Score) -> tuple[str, str, str]:
    return (
        f"{before.value:.3f}",
        f"[bold]{after.value:.3f}[/]",
        f"{after.low:.3f} – {after.high:.3f}",
    )


def _print_places(
    folder: Path, run: Run, data: HeldOut, result: TrainingResult, seconds: float
) -> None:
    out = console()
    out.print(
        f"\nIn {seconds:.0f} s, {result.step} steps. Everything lies in {folder}:", markup=False
    )
    for place, what in (
        (folder / "records.jsonl", "the generated records"),
        (data.file.parent, "train, validation and test files, and how they came about"),
        (run.path, "recipe, metrics, events, checkpoints"),
        (run.adapter, "the adapter, in PEFT form with tokenizer and model card"),
        (run.evaluation, "scores and every answer, before and after"),
    ):
        out.print(f"  {place}  {what}", markup=False, soft_wrap=True)
    out.print("\nTry it:")
    out.print(
        f'  lexitrain predict {run.path} --task grammar "She go to school every day."',
        markup=False,
        soft_wrap=True,
    )
