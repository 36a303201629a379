"""`lexitrain recipes`: the shipped recipes side by side, or every field of one."""

from __future__ import annotations

from typing import Annotated

import typer

from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES
from lexitrain.cli.terminal.console import print_json


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="A shipped recipe or the path of a YAML file.")
    ] = None,
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the whole recipe as YAML, to start your own from.")
    ] = False,
) -> None:
    """List the shipped recipes, or show every field of one with its meaning."""
    from lexitrain import load_recipe, recipe_names, recipe_to_yaml
    from lexitrain.cli.views.recipes import print_fields, print_side_by_side

    if name is None:
        loaded = [load_recipe(each, overrides or ()) for each in recipe_names()]
        if as_json:
            print_json([recipe.model_dump(mode="json") for recipe in loaded])
        else:
            print_side_by_side(loaded)
        return
    recipe = load_recipe(name, overrides or (), trust_tasks=True)  # it is shown, not executed
    if as_json:
        print_json(recipe.model_dump(mode="json"))
    elif as_yaml:
        typer.echo(recipe_to_yaml(recipe), nl=False)
    else:
        print_fields(recipe)
