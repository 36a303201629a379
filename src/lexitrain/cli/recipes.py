"""`lexitrain recipes`: the shipped recipes side by side, or every field of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.console import console, print_json

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="A shipped recipe or the path of a YAML file.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. lora.rank=8."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the whole recipe as YAML, to start your own from.")
    ] = False,
) -> None:
    """List the shipped recipes, or show every field of one with its meaning."""
    from lexitrain.recipe.yaml_file import load_recipe, recipe_names, recipe_to_yaml

    if name is None:
        loaded = [load_recipe(each, overrides or ()) for each in recipe_names()]
        if as_json:
            print_json([recipe.model_dump(mode="json") for recipe in loaded])
        else:
            _print_side_by_side(loaded)
        return
    recipe = load_recipe(name, overrides or ())
    if as_json:
        print_json(recipe.model_dump(mode="json"))
    elif as_yaml:
        typer.echo(recipe_to_yaml(recipe), nl=False)
    else:
        _print_fields(recipe)


def _print_side_by_side(loaded: list[Recipe]) -> None:
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


def _print_fields(recipe: Recipe) -> None:
    from rich.markup import escape
    from rich.table import Table

    from lexitrain.recipe.schema import field_value, recipe_fields

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
        table.add_row(dotted, escape(_shown(field_value(recipe, dotted))), escape(meaning))
    out.print(table)


def _shown(value: Any) -> str:
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)
