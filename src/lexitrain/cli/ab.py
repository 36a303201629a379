"""`lexitrain ab`: an A/B test of two models, from its plan to its verdict."""

from __future__ import annotations

import typer

from lexitrain.cli.ab_serve import serve

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)
app.command("serve")(serve)


@app.callback()
def _ab() -> None:  # pyright: ignore[reportUnusedFunction]
    """An A/B test of two models: what learners say decides."""
