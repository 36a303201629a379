"""How `lexitrain recipes` shows recipes: side by side, or every field of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console

if TYPE_CHECKING:
    from lexitrain import Recipe


def print_side_by_side(loaded: list[Recipe]) -> None:
    """A line a recipe."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("recipe", "base", "length", "rank/α/dropout", "micro × accum.", "epochs",
                    "peak lr", "optimizer", "save/keep"):  # fmt: skip
        table.add_column(heading, no_wrap=heading in {"recipe", "base"})
    for recipe in loaded:
        lora, step, saved = recipe.lora, recipe.step, recipe.checkpoints
        cuts = (
            "auto"
            if step.micro_batch == "auto"
            else f"{step.micro_batch} × {-(-step.effective_batch // step.micro_batch)}"
        )
        table.add_row(
            recipe.name,
            recipe.model.base.rpartition("/")[2],
            str(recipe.data.max_length),
            f"{lora.rank}/{lora.alpha:g}/{lora.dropout:g}",
            cuts,
            str(recipe.schedule.epochs),
            f"{recipe.optimizer.learning_rate:g}",
            recipe.optimizer.name,
            f"{saved.every}/{saved.keep}",
        )
    out = console()
    out.print(table)
    out.print("\n`lexitrain recipes NAME` shows every field of one; `--yaml` prints it as a file.")


def print_fields(recipe: Recipe) -> None:
    """Every field of a recipe with its value and its meaning."""
    from rich.markup import escape
    from rich.table import Table

    from lexitrain import field_text, field_value, recipe_fields

    out = console()
    out.print(f"[bold]{escape(recipe.name)}[/]  {escape(recipe.description)}\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("field", no_wrap=True)
    table.add_column("value", overflow="fold", max_width=34)
    table.add_column("meaning", overflow="fold")
    for dotted, info in recipe_fields():
        if dotted in {"name", "description"}:
            continue
        meaning = " ".join((info.description or "").split())
        table.add_row(dotted, escape(field_text(field_value(recipe, dotted))), escape(meaning))
    out.print(table)
