"""`lexitrain data`: prepare raw records, generate synthetic ones, measure their lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES
from lexitrain.cli.terminal.console import console, print_json
from lexitrain.cli.terminal.progress import shown_progress
from lexitrain.errors import number_of

app = typer.Typer(
    name="data",
    help="Prepare raw records for training, generate synthetic ones, measure their lengths.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Files (.jsonl, .json, .csv, .tsv, .parquet, .m2; packed, too), folders of them, or Hub ids.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the result.")],
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Decides the split.")
    ] = 42,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="The task of rows that name none.")
    ] = None,
    max_bad: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of bad records above which nothing is written.",
        ),
    ] = 0.01,
    max_dropped: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of dropped records, of all or of a task, above which nothing is written; "
            "duplicates do not count.",
        ),
    ] = 0.5,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN,…",
            help="Your own columns, e.g. input=learner_text,output=corrected_text,task=grammar or "
            "output.fluency_score=band/9; each --map makes one record of every row.",
        ),
    ] = None,
    derive_errors: Annotated[
        bool,
        typer.Option(
            "--derive-errors", help="Give grammar records without errors those of their edits."
        ),
    ] = False,
    new_splits: Annotated[
        bool,
        typer.Option(
            "--new-splits", help="Split anew what brings train, validation and test of its own."
        ),
    ] = False,
    min_characters: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Drop inputs with fewer letters and digits than this."
        ),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Processes that parse; chosen by the input's size if not given.",
        ),
    ] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Clean, deduplicate and split records into train, validation and test files."""
    from lexitrain import prepare as prepare_data

    with shown_progress(counts=False) as progress:
        report = prepare_data(
            sources,
            out,
            task=task,
            custom_tasks=custom_task or (),
            minimum_characters=min_characters,
            seed=seed,
            max_bad=max_bad,
            max_dropped=max_dropped,
            maps=maps or (),
            derive_errors=derive_errors,
            own_splits=not new_splits,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(report | {"out": str(out)})
    else:
        from lexitrain.cli.views.preparation import print_preparation

        print_preparation(report, out)


@app.command()
def generate(
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="How many records.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The JSONL file to write.")],
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Same seed, same records."),
    ] = 42,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME", help="Only this task; may be given several times."),
    ] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Write synthetic tutor records: learner errors, levels, replies, explanations."""
    from lexitrain import generate_file

    with shown_progress() as progress:
        counts = generate_file(out, count, seed, task, progress=progress)
    if as_json:
        print_json({"out": str(out), "records": count, "seed": seed, "tasks": counts})
    else:
        shares = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
        console().print(f"{number_of(count, 'record')} in {out}: {shares}.", markup=False)
        console().print(f"Next: lexitrain data prepare {out} --out DIR", markup=False)


@app.command()
def lengths(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A prepared folder, or records in any form.")
    ],
    recipe: Annotated[
        str, typer.Option(metavar="R", help="Recipe whose tokenizer and step are used.")
    ] = "fast",
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    cover: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0.0, max=1.0, help="Also find the max_length for this share."
        ),
    ] = 0.9,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the distribution.")
    ] = None,
    limit: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Measure at most so many records, drawn at random."),
    ] = 50_000,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Token lengths per task, the max_length they need, and what each layout makes of them."""
    from lexitrain import check_png

    if plot is not None:  # before minutes of measuring
        check_png(plot)
    from lexitrain import recipe_with_tasks

    loaded = recipe_with_tasks(recipe, overrides or (), custom_task or ())
    from lexitrain import (  # torch with them: after what needs none
        draw_lengths,
        measure_lengths,
        saved_advice,
    )
    from lexitrain.cli.views.lengths import print_lengths
    from lexitrain.cli.views.preparation import print_advice

    with shown_progress() as progress:
        report, totals = measure_lengths(file, loaded, cover=cover, limit=limit, progress=progress)
    if plot is not None:
        draw_lengths(totals, report, plot)
    advice = [each for each in saved_advice(file) if each["task"] in (None, *report.tasks)]
    if as_json:
        print_json({"file": file, "recipe": loaded.name, **report.to_json(), "advice": advice})
    else:
        print_lengths(report, loaded.name)
        print_advice(advice)
        if plot is not None:
            console().print(f"Plot: {plot}", markup=False)
