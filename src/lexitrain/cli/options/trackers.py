"""`--tracker`, the same option wherever a run is trained."""

from __future__ import annotations

import typer

TRACKER = typer.Option(
    "--tracker",
    metavar="KIND[:PLACE]",
    help="Tell the run to tensorboard, trackio, wandb or mlflow too; none: to none. May be given several times.",
)
