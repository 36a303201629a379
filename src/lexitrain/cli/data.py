"""`lexitrain data`: prepare raw records, generate synthetic ones, measure their lengths."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lexitrain.cli.console import console, errors_console, print_json

app = typer.Typer(
    name="data",
    help="Prepare raw records for training, generate synthetic ones, measure their lengths.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_AS_JSON = typer.Option("--json", help="Print one JSON document.")
_CUSTOM = typer.Option(
    "--custom-task",
    metavar="PATH.py|MODULE:ATTRIBUTE",
    help="A task of your own; may be given several times.",
)


@app.command()
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Files (.jsonl, .json, .csv, .tsv, .parquet, .m2), folders of them, or Hub ids.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the result.")],
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Decides the split.")] = 42,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="The task of rows that name none.")
    ] = None,
    max_bad: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of bad records above which nothing is written."),
    ] = 0.01,
    min_characters: Annotated[
        int, typer.Option(min=1, help="Drop inputs with fewer letters and digits than this.")
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that parse; chosen by the input's size if not given."),
    ] = None,
    custom_task: Annotated[list[str] | None, _CUSTOM] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Clean, deduplicate and split records into train, validation and test files."""
    from lexitrain.preparation.pipeline import prepare as prepare_data

    with _progress() as progress:
        report = prepare_data(
            sources,
            out,
            task=task,
            custom_tasks=custom_task or (),
            minimum_characters=min_characters,
            seed=seed,
            max_bad=max_bad,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(report | {"out": str(out)})
    else:
        _print_preparation(report, out)


@app.command()
def generate(
    count: Annotated[int, typer.Option("--count", min=1, help="How many records.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The JSONL file to write.")],
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=2**32 - 1, help="Same seed, same records."),
    ] = 42,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="Only this task; may be given several times."),
    ] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Write synthetic tutor records: learner errors, levels, replies, explanations."""
    from collections import Counter

    from lexitrain.storage.atomic import file_at_once
    from lexitrain.synthetic import generate as generate_records
    from lexitrain.tasks.registry import find_task, registry

    known = registry()
    tasks = [find_task(name, known, where="--task").short for name in task or ()] or None
    counts: Counter[str] = Counter()
    with _progress() as progress, file_at_once(out) as file:
        for number, record in enumerate(generate_records(count, seed, tasks)):
            file.write((record.to_json() + "\n").encode())
            counts[record.task] += 1
            if number % 1000 == 0:
                progress("generating", number, count)
    if as_json:
        print_json({"out": str(out), "records": count, "seed": seed, "tasks": dict(counts)})
    else:
        shares = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
        console().print(f"{count:,} records in {out}: {shares}.", markup=False)
        console().print(f"Next: lexitrain data prepare {out} --out DIR", markup=False)


@app.command()
def lengths(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A prepared folder, or records in any form.")
    ],
    recipe: Annotated[
        str, typer.Option(metavar="R", help="Recipe whose tokenizer and step are used.")
    ] = "fast",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe."),
    ] = None,
    cover: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Also find the max_length for this share.")
    ] = 0.9,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the distribution.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Measure at most so many records, drawn at random.")
    ] = 50_000,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Token lengths per task, the max_length they need, and what each layout makes of them."""
    from lexitrain.cli.views.lengths import print_lengths
    from lexitrain.recipe.yaml_file import load_recipe

    if plot is not None:
        from lexitrain.reporting.png import check_png

        check_png(plot)
    loaded = load_recipe(recipe, overrides or ())
    from lexitrain.planning.estimate.sample_lengths import measure_lengths

    with _progress() as progress:
        report, totals = measure_lengths(file, loaded, cover=cover, limit=limit, progress=progress)
    if plot is not None:
        from lexitrain.reporting.length_plot import draw_lengths

        draw_lengths(totals, report, plot)
    if as_json:
        print_json({"file": file, "recipe": loaded.name, **report.to_json()})
    else:
        print_lengths(report, loaded.name)
        if plot is not None:
            console().print(f"Plot: {plot}", markup=False)


@contextmanager
def _progress() -> Generator[Callable[[str, int, int], None]]:
    """Shows what is being done: a bar in a terminal, a line every ten seconds elsewhere."""
    from time import monotonic

    out = errors_console()
    if out.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=out,
            transient=True,
        )
        with bar:
            shown = bar.add_task("")
            yield lambda stage, done, total: bar.update(
                shown, description=stage, completed=done, total=total or None
            )
        return
    told = monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal told
        if monotonic() - told >= 10:
            told = monotonic()
            out.print(f"{stage}: {done / total:.0%}" if total else stage)

    yield tell


def _print_preparation(report: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    from lexitrain.records.prepared import REPORT, SPLITS, file_name

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    for heading in ("read", "dropped", *SPLITS):
        table.add_column(heading, justify="right")
    for name, task in report["tasks"].items():
        numbers = (
            task["read"],
            task["read"] - task["kept"],
            *(task[split] for split in report["splits"]),
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    records = report["records"]
    splits = (split["records"] for split in report["splits"].values())
    totals = (records["read"] - records["bad"], records["dropped"], *splits)
    table.add_row("all", *(f"[bold]{number:,}[/]" for number in totals))
    shown = console()
    shown.print(table)
    for reason, count in _reasons(report).items():
        shown.print(f"dropped: {reason}, {count:,}", markup=False)
    if records["bad"]:
        shown.print(f"bad records: {records['bad']:,}", markup=False)
        for place in report["bad_records"][:5]:
            shown.print(f"  {place}", markup=False)
    if left := report["not_read"]:
        named = ", ".join(left[:5]) + (", …" if len(left) > 5 else "")
        shown.print(f"not read, no records by their names: {named}", markup=False)
    written = ", ".join((*map(file_name, SPLITS), REPORT))
    shown.print(f"Written to {out}: {written}.", markup=False)


def _reasons(report: dict[str, Any]) -> dict[str, int]:
    from collections import Counter

    reasons: Counter[str] = Counter()
    for task in report["tasks"].values():
        reasons.update(task["dropped"])
    return dict(reasons.most_common(10))
