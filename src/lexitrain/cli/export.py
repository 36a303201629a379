"""`lexitrain export`: a trained model in the forms that other programs load, and proof that nothing was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK, TRUST_TASKS
from lexitrain.cli.options.exports import MAX_MB, QUANTIZE, parts
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.scored_records import MARGIN, existing
from lexitrain.cli.terminal.console import console, print_json
from lexitrain.cli.terminal.progress import shown_progress
from lexitrain.errors import LIMIT_NOT_MET


def export(
    model: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="A run, an adapter folder, or a base.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM[,FORM…]",
            help="merged: a folder for transformers and vLLM; gguf: a file for llama.cpp and phones; gguf-lora: the "
            "base and the adapter as two files; ollama: with a Modelfile; onnx: for onnxruntime-genai; best: the "
            "smallest GGUF file that is shown to be no worse than the adapter.",
        ),
    ] = "gguf",
    quantize: Annotated[str, QUANTIZE] = "Q4_K_M",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="By default the run's export/.")
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Held-out records, or a folder made by `data prepare`: each GGUF file must answer them as the adapter "
            "does. Exit code 3 where one does not.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Most records to verify with.")
    ] = None,
    margin: Annotated[float, MARGIN] = 0.05,
    max_mb: Annotated[float | None, MAX_MB] = None,
    importance: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Training samples over which it is measured which inputs matter, for the rounding; 0: none.",
        ),
    ] = 0,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose adapter, where each task has its own.")
    ] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    trust_tasks: Annotated[bool, TRUST_TASKS] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Write a trained model for other programs, with a grammar of each task's answers beside it.

    With --verify the adapter and each file answer the same held-out records: tokens, distributions, scores, speed.
    """
    if verify is not None:
        verify = existing(verify)
    with shown_progress() as progress:
        progress("loading", 0, 0)
        from lexitrain import export as export_model

        report = export_model(
            model,
            parts(to),
            quantize=parts(quantize),
            out=out,
            task=task,
            verify=verify,
            limit=limit,
            margin=margin,
            max_mb=max_mb,
            importance=importance,
            custom_tasks=custom_task or (),
            trust_tasks=trust_tasks,
            progress=progress,
        )
    if as_json:
        print_json(report.to_json())
    else:
        from lexitrain.cli.views.exported import print_export

        print_export(console(), report)
    if report.missed:
        raise typer.Exit(LIMIT_NOT_MET)
