"""`lexitrain evaluate`: a model's scores on held-out records, beside what a trivial predictor reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.console import console, print_json
from lexitrain.cli.progress import shown_progress
from lexitrain.errors import InputError


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL", help="A run, an adapter folder, a base folder, nano, or a Hub id."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="FILE|DIR",
            help="Records to score, or a folder made by `data prepare` (its test.jsonl).",
        ),
    ],
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Score this task alone.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Most records to score, spread evenly over the tasks."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Prompts answered together; fewer need less memory.")
    ] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score a model on held-out records, with 95 % intervals, beside a trivial predictor."""
    if not data.exists():  # before torch is imported: the message should not take seconds
        raise InputError("There is no such file or folder of records.", where=data)
    with shown_progress() as progress:
        progress("loading", 0, 0)
        from lexitrain import evaluation as evaluating
        from lexitrain.tasks import find_task, registry

        subject = evaluating.locate(model)
        tasks = registry(subject.custom_tasks)
        held_out = evaluating.read_held_out(
            data,
            tasks,
            task=None if task is None else find_task(task, tasks, where="--task").short,
            limit=limit,
            run_data=subject.data,
        )
        subject.require(sorted({record.task for _, record in held_out.records}))
        loaded = evaluating.load(subject)
        evaluation = evaluating.evaluate(
            loaded.model,
            loaded.tokenizer,
            held_out.records,
            tasks,
            train_records=held_out.train,
            max_length=subject.max_length,
            batch_size=batch_size,
            select=loaded.select,
            progress=progress,
        )
    document = evaluating.document(subject, held_out, evaluation)
    # Minutes of work are shown before anything can go wrong with keeping them.
    if as_json:
        print_json(document)
    else:
        from lexitrain.cli.views.evaluation import print_evaluation

        print_evaluation(console(), model, held_out, evaluation)
    if subject.run is None:
        return
    try:
        saved = evaluating.save(subject.run, held_out, document, evaluation)
    except OSError as error:
        raise InputError(
            f"The evaluation cannot be saved: {error.strerror}.",
            where=subject.run.evaluation,
            fix="The scores above are complete; free space or permissions, then evaluate again to keep them.",
        ) from error
    if not as_json:
        console().print(f"Saved to {saved}, every answer beside it.", markup=False, soft_wrap=True)
