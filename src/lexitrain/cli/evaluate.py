"""`lexitrain evaluate`: a model's scores on held-out records, beside what a trivial predictor reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK, TRUST_TASKS
from lexitrain.cli.options.decoding import JSON_SCHEMA, SAMPLES, SEED, TEMPERATURE
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.scored_records import BATCH_SIZE, DATA, GROUP, LIMIT, TASK, existing
from lexitrain.cli.terminal.console import console, errors_console, print_json
from lexitrain.cli.terminal.progress import shown_progress


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run, an adapter folder, a base folder, nano, a Hub id, or the address of an OpenAI-compatible API.",
        ),
    ],
    data: Annotated[Path, DATA],
    task: Annotated[str | None, TASK] = None,
    limit: Annotated[int | None, LIMIT] = None,
    batch_size: Annotated[int, BATCH_SIZE] = 64,
    group: Annotated[str | None, GROUP] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for scores and answers; by default the run's evaluation/."
        ),
    ] = None,
    json_schema: Annotated[bool, JSON_SCHEMA] = False,
    temperature: Annotated[float, TEMPERATURE] = 0.0,
    samples: Annotated[int, SAMPLES] = 1,
    seed: Annotated[int, SEED] = 0,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    trust_tasks: Annotated[bool, TRUST_TASKS] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Score a model on held-out records, with 95 % intervals, beside a trivial predictor.

    Of a run, or with --out, answers are kept as they come: after a kill the same command goes on.
    """
    data = existing(data)
    with shown_progress() as progress:
        progress("loading", 0, 0)
        from lexitrain import Decoding
        from lexitrain import evaluate as evaluate_model

        report = evaluate_model(
            model,
            data,
            task=task,
            limit=limit,
            decoding=Decoding(temperature, samples, seed, json_schema),
            batch_size=batch_size,
            group=group,
            out=out,
            resumable=True,
            custom_tasks=custom_task or (),
            trust_tasks=trust_tasks,
            progress=progress,
        )
    for name in report.model.unfinished:
        errors_console().print(f"not finished: {name} is used", markup=False, soft_wrap=True)
    journal = report.journal
    if journal is not None and journal.problem is not None:
        errors_console().print(
            f"Answers were not kept as they came: {journal.problem}", markup=False, soft_wrap=True
        )
    # Minutes of work are shown before anything can go wrong with keeping them.
    if as_json:
        print_json(report.to_json())
    else:
        from lexitrain.cli.views.evaluation import print_evaluation

        print_evaluation(console(), model, report)
    saved = report.save()
    if saved is not None:
        _tell_trackers(saved.parent.parent)
    if saved is not None and not as_json:
        console().print(f"Saved to {saved}, every answer beside it.", markup=False, soft_wrap=True)


def _tell_trackers(folder: Path) -> None:
    """Tell the scores to the trackers of the run in this folder, where it is one that has some."""
    from lexitrain import Run, tell_trackers

    run = Run(folder)
    if not run.exists():
        return
    for said in tell_trackers(run):
        if "problem" in said:
            text = f"The tracker {said['tracker']} has no scores: {said['problem']}"
            errors_console().print(text, markup=False, soft_wrap=True)
